"""Authorization of routes. The role declared on a route is both documented and enforced."""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, Final, TypeVar

from anyio import to_thread
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from clusterm.access.authenticator import RECHECK_INTERVAL_S, Authenticator
from clusterm.access.principal import Principal
from clusterm.enums import TokenRole
from clusterm.errors import AccessDenied

T = TypeVar("T")


SCHEMES: Final = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token, as `clusterm token create` on the service's host makes them.",
    }
}
"""Description of tokens in the OpenAPI document."""


def security(role: TokenRole | None) -> dict[str, Any]:
    """Return the OpenAPI member that documents the role of a route; None for a public route."""
    return {"security": [] if role is None else [{"token": [role.value]}]}


async def authenticate(authenticator: Authenticator, request: Request, role: TokenRole) -> None:
    """Authenticate a request, and record its principal.

    Raises:
        AccessDenied: the request is rejected.
    """
    request.state.principal = await to_thread.run_sync(authenticator.authenticate, _token_of(request), role)


def may_read(authenticator: Authenticator, request: Request) -> bool:
    """Return whether a request to a public route may see what a viewer sees."""
    try:
        return not authenticator.is_required or bool(authenticator.authenticate(_token_of(request), TokenRole.VIEWER))
    except AccessDenied:
        return False


def _token_of(request: Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return (token.strip() if scheme.lower() == "bearer" else "") or None


def principal_of(request: Request) -> Principal | None:
    """Return the principal of a request; None without authentication."""
    principal: Principal | None = getattr(request.state, "principal", None)
    return principal


def sender_of(request: Request) -> str:
    """Return the address of the client."""
    return request.client.host if request.client else "local"


async def read_while_authorized(
    authenticator: Authenticator, principal: Principal | None, read: Callable[[], Awaitable[T]]
) -> T | None:
    """Return what is read, however long that takes; None as soon as the reader's token is no longer valid."""
    while principal is None or await _is_authorized(authenticator, principal):
        try:
            async with asyncio.timeout(None if principal is None else RECHECK_INTERVAL_S):
                return await read()
        except TimeoutError:
            continue
    return None


class LimitedStream(StreamingResponse):
    """A response that stays open, and counts against the stream limit of its reader's token.

    Args:
        chunks: the body.
        authenticator: counts the streams.
        principal: the reader; None without authentication.
        options: further arguments of StreamingResponse.
    """

    def __init__(
        self, chunks: AsyncIterable[bytes], authenticator: Authenticator, principal: Principal | None, **options: Any
    ) -> None:
        super().__init__(chunks, **options)
        self._authenticator = authenticator
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, or raise before the first byte if the token has too many streams open."""
        with self._authenticator.stream(self._principal):
            await super().__call__(scope, receive, send)


async def _is_authorized(authenticator: Authenticator, principal: Principal) -> bool:
    return authenticator.is_recently_valid(principal) or await to_thread.run_sync(
        authenticator.is_still_valid, principal
    )
