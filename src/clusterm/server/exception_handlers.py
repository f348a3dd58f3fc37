"""Turns exceptions into error responses."""

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from clusterm.access.authenticator import Guard
from clusterm.errors import Drained, NotLetIn, RequestRefused
from clusterm.routes import auth
from clusterm.server.problems import _SECURITY_HEADERS, _problem, _refuse

log = logging.getLogger(__name__)


def _answer_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)  # noqa: S101 -- for the type checker
    if isinstance(error, NotLetIn):
        guard: Guard = request.app.state.service.guard
        guard.tell_of(error, f"{request.method} {request.url.path}", auth.sender_of(request))
        return _problem(error.status, str(error), error.headers)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Drained) else None
    return _refuse(request, error.status, str(error), headers)


def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return _refuse(request, error.status_code, str(error.detail), dict(error.headers or {}))


def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = error.errors()
    if any(item["type"] == "json_invalid" for item in errors):
        return _refuse(request, HTTPStatus.BAD_REQUEST, f"the body is not valid JSON: {_reasons(errors)}")
    content_type = request.headers.get("content-type", "")
    if request.method == "POST" and errors[0]["loc"] == ("body",) and "json" not in content_type:
        advice = "send a JSON object as body, with Content-Type: application/json"
        return _refuse(request, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, advice)
    return _refuse(request, HTTPStatus.UNPROCESSABLE_ENTITY, _reasons(errors))


def _reasons(errors: Iterable[Any]) -> str:
    def reason(item: Any) -> str:
        place = ".".join(str(part) for part in item["loc"][1:])
        said = item["ctx"]["error"] if item["type"] == "json_invalid" else item["msg"]
        return f"{place}: {said}" if place and item["type"] != "json_invalid" else str(said)

    return "; ".join(map(reason, list(errors)[:10]))


def _answer_store_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)  # noqa: S101
    log.error("the store cannot be used: %s", error.orig)
    detail = f"the store cannot be used now ({error.orig}): try again"
    return _problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "5"})


def _answer_defect(_: Request, error: Exception) -> Response:
    detail = f"clusterm has a defect ({type(error).__name__}); its log says more. Please report it"
    return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail, _SECURITY_HEADERS)  # it passes no middleware
