"""Create error responses (RFC 9457)."""

import logging
from collections.abc import Mapping
from typing import Final

from fastapi import Request, Response

from clusterm.common import service_log
from clusterm.common.log_limits import RepetitionFilter
from clusterm.problem_codes import ProblemCode
from clusterm.routes import auth
from clusterm.routes.dependencies import PROBLEM_TYPE
from clusterm.schemas import Problem

log = logging.getLogger(__name__)
log.addFilter(RepetitionFilter(per_minute=100))

ALL_METHODS: Final = "GET, HEAD, OPTIONS, POST"
"""Methods that the service knows, as a value of `Allow`."""

_MAX_LOGGED: Final = 200
"""Maximum characters of a path in the log."""

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers that make browsers treat a response as data only; the page at /docs has a policy of its own."""


def problem_response(code: ProblemCode, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem as a response."""
    body = Problem.of(code, detail).model_dump_json()
    return Response(body, status_code=code.status, media_type=PROBLEM_TYPE, headers=headers)


def problem_bytes(code: ProblemCode, detail: str, headers: str = "") -> bytes:
    """Return a problem as the whole response to a connection that is closed then, for clients without an application.

    Args:
        code: the kind of problem.
        detail: the reason.
        headers: further headers, each with its line end.
    """
    body, status = Problem.of(code, detail).model_dump_json().encode(), code.status
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {PROBLEM_TYPE}\r\n{headers}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def reject(request: Request, code: ProblemCode, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return the response to a rejected request, and log the rejection: at debug level for reads, else at info."""
    level = logging.DEBUG if request.method in {"GET", "HEAD"} else logging.INFO
    sender, path = auth.sender_of(request), shorten(request.scope["path"])
    principal = auth.principal_of(request)
    by = principal.name if principal else None
    fields = {"method": request.method, "path": path, "status": int(code.status), "code": str(code), "sender": sender}
    fields |= {"by": by} if by else {}
    values = (request.method, path, f"{by} at {sender}" if by else sender, code.status, detail)
    log.log(level, "%s %s from %s rejected with %d: %s", *values, extra=service_log.log_fields(**fields))
    return problem_response(code, detail, headers)


def shorten(path: str) -> str:
    """Return a path as it is logged: a client can send one of 64 KiB."""
    return path if len(path) <= _MAX_LOGGED else f"{path[:_MAX_LOGGED]}…"
