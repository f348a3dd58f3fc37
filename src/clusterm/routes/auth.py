"""The door of every route: what role it needs stands in its description, and what stands there is what holds."""

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

T = TypeVar("T")


SCHEMES: Final = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token, as `clusterm token create` on the service's host makes them.",
    }
}
"""How OpenAPI describes tokens."""

PUBLIC: Final[dict[str, Any]] = {"security": []}
"""Of a route that lets everybody in."""


def requires(role: TokenRole) -> dict[str, Any]:
    """Describe a route that lets in who has a role."""
    return {"security": [{"token": [role.value]}]}


def required_role(description: dict[str, Any]) -> TokenRole | None:
    """Return the role that a route needs, as it is described; None for one that is open."""
    return next((TokenRole(each["token"][0]) for each in description["security"]), None)


async def authenticate(authenticator: Authenticator, request: Request, role: TokenRole) -> None:
    """Let a request in, and remember whose it is.

    Raises:
        AccessDenied: it is not.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else None
    request.state.principal = await to_thread.run_sync(authenticator.authenticate, given or None, role)


def principal_of(request: Request) -> Principal | None:
    """Return whose a request is; None where nobody is asked."""
    principal: Principal | None = getattr(request.state, "principal", None)
    return principal


def sender_of(request: Request) -> str:
    """Return where a request comes from."""
    return request.client.host if request.client else "local"


async def read_while_authorized(
    authenticator: Authenticator, principal: Principal | None, read: Callable[[], Awaitable[T]]
) -> T | None:
    """Return what is read, however long it takes; None as soon as the reader's token is not good any more."""
    while principal is None or await _is_authorized(authenticator, principal):
        try:
            async with asyncio.timeout(None if principal is None else RECHECK_INTERVAL_S):
                return await read()
        except TimeoutError:
            continue
    return None


class LimitedStream(StreamingResponse):
    """An answer that stays open, one of those that its reader's token may have.

    Args:
        pieces: what it sends.
        guard: counts it.
        principal: whose it is.
        options: of any such answer.
    """

    def __init__(
        self, chunks: AsyncIterable[bytes], authenticator: Authenticator, principal: Principal | None, **options: Any
    ) -> None:
        super().__init__(chunks, **options)
        self._authenticator = authenticator
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; refuse to, before anything is sent, where there are too many."""
        with self._authenticator.stream(self._principal):
            await super().__call__(scope, receive, send)


async def _is_authorized(authenticator: Authenticator, principal: Principal) -> bool:
    return authenticator.is_recently_valid(principal) or await to_thread.run_sync(
        authenticator.is_still_valid, principal
    )
