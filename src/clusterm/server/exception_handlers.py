"""Turn exceptions into error responses."""

import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from clusterm.access.authenticator import Authenticator
from clusterm.common import contiv
from clusterm.errors import AccessDenied, Drained, RequestRefused
from clusterm.problem_codes import ProblemCode
from clusterm.routes import auth
from clusterm.schemas.base import EXTRA_VARS_ERROR
from clusterm.server.problems import SECURITY_HEADERS, problem_response, reject, shorten
from clusterm.store.errors import StoreDamaged, StoreError, StoreReplaced

log = logging.getLogger(__name__)

_METHODS: Final = ("GET", "POST")
"""Methods that routes have; HEAD and OPTIONS are derived from them."""

_HTTP_ERRORS: Final[Mapping[int, ProblemCode]] = {
    HTTPStatus.BAD_REQUEST: ProblemCode.MALFORMED_REQUEST,
    HTTPStatus.NOT_FOUND: ProblemCode.ROUTE_NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: ProblemCode.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ProblemCode.BODY_TOO_LARGE,
}
"""Codes of the framework's errors."""


def handle_rejection(request: Request, error: Exception) -> Response:
    """Respond to a rejected request."""
    assert isinstance(error, RequestRefused)  # noqa: S101 -- for the type checker
    if isinstance(error, AccessDenied):
        authenticator: Authenticator = request.app.state.services.authenticator
        authenticator.usage.log_rejection(
            error, f"{request.method} {shorten(request.scope['path'])}", auth.sender_of(request)
        )
        return problem_response(error.code, str(error), error.headers)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Drained) else None
    phrase = contiv.phrase(error.code, error.facts) if _is_from_contiv(request) else None
    return reject(request, error.code, phrase or str(error), headers)


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
    code = _HTTP_ERRORS.get(error.status_code, ProblemCode.INTERNAL_ERROR)
    is_phrase = error.detail == HTTPStatus(error.status_code).phrase
    return reject(request, code, code.meaning if is_phrase else str(error.detail), headers)


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
        return reject(request, ProblemCode.INVALID_JSON, f"the body is not valid JSON: {_reasons(errors)}")
    content_type = request.headers.get("content-type", "")
    if request.method == "POST" and errors[0]["loc"] == ("body",) and "json" not in content_type:
        advice = "send a JSON object as body, with Content-Type: application/json"
        return reject(request, ProblemCode.UNSUPPORTED_MEDIA_TYPE, advice)
    return reject(request, ProblemCode.INVALID_REQUEST, _reasons(errors, for_contiv=_is_from_contiv(request)))


def _is_from_contiv(request: Request) -> bool:
    return contiv.is_client(request.headers.get("User-Agent", ""))


def _reasons(errors: Iterable[Any], *, for_contiv: bool = False) -> str:
    def reason(item: Any) -> str:
        place = ".".join(str(part) for part in item["loc"][1:])
        message = item["ctx"]["error"] if item["type"] == "json_invalid" else item["msg"]
        if for_contiv and item["type"] == EXTRA_VARS_ERROR:
            message = contiv.extra_vars_phrase(item["ctx"]["reason"])
        return f"{place}: {message}" if place and item["type"] != "json_invalid" else str(message)

    return "; ".join(map(reason, list(errors)[:10]))


def handle_store_error(_: Request, error: Exception) -> Response:
    """Respond to a request that failed because the store was not available."""
    assert isinstance(error, StoreError)  # noqa: S101
    log.error("the store cannot be used: %s", error)
    if isinstance(error, StoreDamaged):
        detail = f"the database is damaged ({error}): run clusterm check, and restore a backup with clusterm restore"
        return problem_response(ProblemCode.STORE_DAMAGED, detail)
    if isinstance(error, StoreReplaced):
        detail = f"the store cannot be used ({error}): put the file back, or restart clusterm"
        return problem_response(ProblemCode.STORE_REPLACED, detail)
    detail = f"the store cannot be used now ({error}): try again"
    return problem_response(ProblemCode.STORE_UNAVAILABLE, detail, {"Retry-After": "5"})


def handle_defect(_: Request, error: Exception) -> Response:
    """Respond to a request that failed because of a defect in clusterm."""
    detail = f"internal error ({type(error).__name__}); see the service log. Please report it"
    return problem_response(ProblemCode.INTERNAL_ERROR, detail, SECURITY_HEADERS)  # bypasses the middleware
