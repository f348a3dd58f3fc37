"""Error responses (RFC 9457)."""

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
"""What keeps browsers from taking an answer for something else than data; the page at /docs has a policy of its own."""


def problem_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem as a response."""
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return Response(problem.model_dump_json(), status_code=status, media_type=PROBLEM_TYPE, headers=headers)


def reject(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Answer that a request is refused, and say so in the log: of one that only reads, where details are wanted."""
    level = logging.DEBUG if request.method in {"GET", "HEAD"} else logging.INFO
    sender = auth.sender_of(request)
    about = {"method": request.method, "path": request.url.path, "status": int(status), "sender": sender}
    said = (request.method, request.url.path, sender, status, detail)
    log.log(level, "%s %s from %s refused with %d: %s", *said, extra=service_log.log_fields(**about))
    return problem_response(status, detail, headers)
