"""Extend uvicorn's connections by timeouts, problem responses and the users of unix sockets.

Disconnects slow clients: uvicorn waits forever for the rest of a request, and for a response to be read. Rejects a
malformed request with a problem, as every other error. Identifies a client on a unix socket by its user.
"""

import asyncio
import functools
import pwd
import socket
import struct
import sys
from http import HTTPStatus
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from clusterm.common.sizes import exact_size
from clusterm.problem_codes import ProblemCode
from clusterm.server.problems import problem_bytes

_LEAST: Final = 16 * 1024
"""Bytes of a response that a client must read within the timeout."""


class HttpProtocol(H11Protocol):
    """A connection to a client.

    Args:
        timeout: seconds within which the client must send a request, and read the next part of a response.
        others: uvicorn's arguments.
    """

    def __init__(self, timeout: float, **others: Any) -> None:
        super().__init__(**others)
        self._timeout = timeout
        self._request_due: asyncio.TimerHandle | None = None
        self._reading_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Identify the client and start the timeout of its first request."""
        super().connection_made(transport)  # type: ignore[arg-type]  # always a stream's transport
        if self.client is None:
            self.client = _peer(transport.get_extra_info("socket"))
        # With the default, up to 64 KiB could stay unread without a timeout and keep a closing connection forever.
        self.transport.set_write_buffer_limits(high=1)  # 0 stalls asyncio over TLS
        self._request_due = self.loop.call_later(self._timeout, self._time_out_request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeouts."""
        for timer in (self._request_due, self._reading_due):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Process received data, and start or cancel the timeout of the request."""
        super().handle_events()
        complete = self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}
        if complete and self._request_due:
            self._request_due.cancel()
            self._request_due = None
        elif not (complete or self._request_due or self._is_kept_alive() or self.transport.is_closing()):
            self._request_due = self.loop.call_later(self._timeout, self._time_out_request)

    def _is_kept_alive(self) -> bool:
        """Return whether the connection waits for the start of another request, for which uvicorn has a timeout."""
        return self.timeout_keep_alive_task is not None and not self.conn.trailing_data[0]

    def send_400_response(self, msg: str) -> None:
        """Reject a request that uvicorn cannot parse."""
        error = sys.exc_info()[1]
        if getattr(error, "error_status_hint", 0) == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            limit = exact_size(self.config.h11_max_incomplete_event_size or 0)
            detail = f"the address and the headers are larger than {limit}"
            self.reject(ProblemCode.HEAD_TOO_LARGE, detail)
        else:
            self.reject(ProblemCode.MALFORMED_REQUEST, msg)

    def pause_writing(self) -> None:
        """Stop sending until the client has read the buffered data, and start the timeout of reading."""
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        """Resume sending, and cancel the timeout of reading."""
        super().resume_writing()
        if self._reading_due:
            self._reading_due.cancel()
            self._reading_due = None

    def _await_reading(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._reading_due = self.loop.call_later(self._timeout, self._time_out_response, unread)

    def _time_out_request(self) -> None:
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self.transport.close()  # idle: no request to reject
        else:
            self.reject(ProblemCode.REQUEST_TIMEOUT, f"the request was not complete after {self._timeout:g} s")

    def _time_out_response(self, unread: int) -> None:
        if unread - self.transport.get_write_buffer_size() < _LEAST:
            self.transport.abort()
        else:
            self._await_reading()

    def reject(self, code: ProblemCode, detail: str) -> None:
        """Send a problem, unless a response has begun, and close the connection."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(problem_bytes(code, detail))
        self.transport.close()


def _peer(connected: socket.socket) -> tuple[str, int] | None:
    """Return the user of a unix socket's client in place of host and port; None for other sockets."""
    if connected.family is not socket.AF_UNIX:
        return None
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return f"unix:{_user(uid)}", 0


@functools.cache
def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
