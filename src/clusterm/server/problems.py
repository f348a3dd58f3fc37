"""Create error responses (RFC 9457)."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from fastapi import Request, Response

from clusterm.common import service_log
from clusterm.routes import auth
from clusterm.routes.dependencies import PROBLEM_TYPE
from clusterm.schemas import Problem

log = logging.getLogger(__name__)

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers that make browsers treat a response as data only; the page at /docs has a policy of its own."""


def problem_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem as a response."""
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return Response(problem.model_dump_json(), status_code=status, media_type=PROBLEM_TYPE, headers=headers)


def reject(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return the response to a rejected request, and log the rejection: at debug level for reads, else at info."""
    level = logging.DEBUG if request.method in {"GET", "HEAD"} else logging.INFO
    sender = auth.sender_of(request)
    fields = {"method": request.method, "path": request.url.path, "status": int(status), "sender": sender}
    values = (request.method, request.url.path, sender, status, detail)
    log.log(level, "%s %s from %s rejected with %d: %s", *values, extra=service_log.log_fields(**fields))
    return problem_response(status, detail, headers)
