"""Turn exceptions into error responses."""

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from clusterm.access.authenticator import Authenticator
from clusterm.errors import AccessDenied, Drained, RequestRefused
from clusterm.routes import auth
from clusterm.server.problems import SECURITY_HEADERS, problem_response, reject, shorten
from clusterm.store.errors import StoreDamaged, StoreError, StoreReplaced

log = logging.getLogger(__name__)

_METHODS: Final = ("GET", "POST")
"""Methods that routes have; HEAD and OPTIONS are derived from them."""


def handle_rejection(request: Request, error: Exception) -> Response:
    """Respond to a rejected request."""
    assert isinstance(error, RequestRefused)  # noqa: S101 -- for the type checker
    if isinstance(error, AccessDenied):
        authenticator: Authenticator = request.app.state.services.authenticator
        authenticator.usage.log_rejection(
            error, f"{request.method} {shorten(request.scope['path'])}", auth.sender_of(request)
        )
        return problem_response(error.status, str(error), error.headers)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Drained) else None
    return reject(request, error.status, str(error), headers)


def handle_http_error(request: Request, error: Exception) -> Response:
    """Respond to an error of the framework, such as an unknown route."""
    assert isinstance(error, HTTPException)  # noqa: S101
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.NOT_FOUND and (place := _without_slash(request)):
        return Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers={"Location": place})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed_methods(request)
        if request.method == "OPTIONS":
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
    return reject(request, error.status_code, str(error.detail), headers)


def _allowed_methods(request: Request) -> str:
    methods = [method for method in _METHODS if _match(request, method=method) is Match.FULL]
    return ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])


def _match(request: Request, **changes: str) -> Match:
    """Return how well a route matches a request with changed members of its scope."""
    scope = {**request.scope, **changes}
    found: Match = max((route.matches(scope)[0] for route in request.app.routes), key=lambda match: match.value)
    return found


def _without_slash(request: Request) -> str | None:
    """Return the address of a route for a path that has a slash too many at its end; None if there is none.

    The address is relative, because the host and scheme of a request may be those of a proxy's request.
    """
    path = request.scope["path"]
    bare = path.removesuffix("/")
    if bare == path or all(_match(request, path=bare, method=method) is Match.NONE for method in _METHODS):
        return None
    query = request.url.query
    return f"../{quote(bare.rpartition('/')[2])}{'?' if query else ''}{query}"


def handle_invalid_request(request: Request, error: Exception) -> Response:
    """Respond to a request that does not match its schema."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = error.errors()
    if any(item["type"] == "json_invalid" for item in errors):
        return reject(request, HTTPStatus.BAD_REQUEST, f"the body is not valid JSON: {_reasons(errors)}")
    content_type = request.headers.get("content-type", "")
    if request.method == "POST" and errors[0]["loc"] == ("body",) and "json" not in content_type:
        advice = "send a JSON object as body, with Content-Type: application/json"
        return reject(request, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, advice)
    return reject(request, HTTPStatus.UNPROCESSABLE_ENTITY, _reasons(errors))


def _reasons(errors: Iterable[Any]) -> str:
    def reason(item: Any) -> str:
        place = ".".join(str(part) for part in item["loc"][1:])
        message = item["ctx"]["error"] if item["type"] == "json_invalid" else item["msg"]
        return f"{place}: {message}" if place and item["type"] != "json_invalid" else str(message)

    return "; ".join(map(reason, list(errors)[:10]))


def handle_store_error(_: Request, error: Exception) -> Response:
    """Respond to a request that failed because the store was not available."""
    assert isinstance(error, StoreError)  # noqa: S101
    log.error("the store cannot be used: %s", error)
    if isinstance(error, StoreDamaged):
        detail = f"the database is damaged ({error}): run clusterm check, and restore a backup with clusterm restore"
        return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, detail)
    if isinstance(error, StoreReplaced):
        detail = f"the store cannot be used ({error}): put the file back, or restart clusterm"
        return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, detail)
    detail = f"the store cannot be used now ({error}): try again"
    return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "5"})


def handle_defect(_: Request, error: Exception) -> Response:
    """Respond to a request that failed because of a defect in clusterm."""
    detail = f"internal error ({type(error).__name__}); see the service log. Please report it"
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, detail, SECURITY_HEADERS)  # bypasses the middleware
