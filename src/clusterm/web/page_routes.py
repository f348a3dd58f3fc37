"""The route class of the dashboard: a session in place of a token, and pages in place of problems."""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from pydantic import BeforeValidator

from clusterm.access.hosts import SAFE_METHODS, check_own_page
from clusterm.enums import TokenRole
from clusterm.errors import RequestRefused, Unauthorized
from clusterm.problem_codes import ProblemCode
from clusterm.routes.compression import compress
from clusterm.routes.dependencies import Services
from clusterm.web import pages

UNCHOSEN: Final = BeforeValidator(lambda value: value or None)
"""Reads the empty text, which a form sends for a field without a choice, as no value."""

T = TypeVar("T", bound=Callable[..., Any])


class PageRoute(APIRoute):
    """A route of the dashboard. Only here do cookies count, and only in requests without an `Authorization` header.

    Args:
        path: as for APIRoute.
        endpoint: as for APIRoute.
        role: the role that a request needs; None for a route that needs no session.
        is_page: whether errors are pages; otherwise they are problems, for scripts.
        options: further arguments of APIRoute.
    """

    def __init__(
        self, path: str, endpoint: Any, *, role: TokenRole | None, is_page: bool = True, **options: Any
    ) -> None:
        self.role = role
        self._is_page = is_page
        super().__init__(path, endpoint, **options | {"include_in_schema": False})

    def get_route_handler(self) -> Any:
        """Check origin and session of a request, and answer errors by pages."""
        handle = super().get_route_handler()

        async def respond(request: Request) -> Response:
            services: Services = request.app.state.services
            try:
                if request.method not in SAFE_METHODS:
                    check_own_page(request.headers, services.live_settings.current.manager.public_url)
                if self.role is not None and services.authenticator.is_required:
                    cookie = "" if "Authorization" in request.headers else cookie_of(request)
                    find = partial(services.web_sessions.principal, cookie, self.role)
                    request.state.principal = await to_thread.run_sync(find)
                response: Response = await handle(request)
            except RequestRefused as error:
                if not self._is_page:
                    raise
                return _refusal(request, error)
            except RequestValidationError as error:
                if not self._is_page:
                    raise
                reason = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
                return _error(request, ProblemCode.INVALID_REQUEST, reason)
            return await compress(request, response)

        return respond


class PageRouter(APIRouter):
    """A router of pages."""

    def add(
        self, method: str, path: str, *, role: TokenRole | None = TokenRole.VIEWER, is_page: bool = True
    ) -> Callable[[T], T]:
        """Add a route."""

        def decorate(endpoint: T) -> T:
            route: Any = partial(PageRoute, role=role, is_page=is_page)
            self.add_api_route(path, endpoint, methods=[method], route_class_override=route, response_model=None)
            return endpoint

        return decorate


def cookie_name(request: Request) -> str:
    """Return the name of the session's cookie.

    Cookies do not know ports, so the name contains the port: two services on a host do not sign each other's users out.
    """
    is_secure = request.url.scheme == "https"
    port = request.url.port or (443 if is_secure else 80)
    return f"{'__Host-' if is_secure else ''}clusterm-{port}"


def cookie_of(request: Request) -> str:
    """Return the value of the session's cookie; empty without one."""
    return request.cookies.get(cookie_name(request), "")


def redirect(request: Request, path: str) -> Response:
    """Return a redirect to a path of the service."""
    headers = {"Cache-Control": "no-store"}
    return RedirectResponse(f"{request.scope['root_path']}{path}", HTTPStatus.SEE_OTHER, headers=headers)


def _refusal(request: Request, error: RequestRefused) -> Response:
    if isinstance(error, Unauthorized) and request.method in SAFE_METHODS:
        path = request.scope["path"].removeprefix(request.scope["root_path"])
        wanted = f"{path}?{request.url.query}" if request.url.query else path
        return redirect(request, f"/ui/login?{urlencode({'to': wanted})}")
    return _error(request, error.code, str(error))


def _error(request: Request, code: ProblemCode, detail: str) -> Response:
    return pages.render(request, "error.html", code.status, title=code.summary, detail=detail)
