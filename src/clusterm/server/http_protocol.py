"""Connections to clients, as uvicorn has them, but for three things.

A client that is too slow is let go of: uvicorn waits forever for the rest of a request, and for an answer to be read. A
request that is no HTTP is refused as everything else is. And a client on a unix socket is known by its user.
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
from clusterm.schemas import Problem

_LEAST: Final = 16 * 1024
"""Bytes of an answer that a client has to take in the time that it has."""


class HttpProtocol(H11Protocol):
    """A connection to a client.

    Args:
        timeout: seconds that the client has to send a request, and to take some more of an answer.
        others: uvicorn's.
    """

    def __init__(self, timeout: float, **others: Any) -> None:
        super().__init__(**others)
        self._timeout = timeout
        self._request_due: asyncio.TimerHandle | None = None
        self._reading_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)  # type: ignore[arg-type]  # it is a stream's
        if self.client is None:
            self.client = _peer(transport.get_extra_info("socket"))
        # Or up to 64 KiB could wait unnoticed, also in a connection that is closed already, and keep it for good.
        self.transport.set_write_buffer_limits(high=1)  # with 0 asyncio gets stuck over TLS
        self._request_due = self.loop.call_later(self._timeout, self._give_up_request)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        for timer in (self._request_due, self._reading_due):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Take what has come of requests."""
        super().handle_events()
        complete = self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}
        if complete and self._request_due:
            self._request_due.cancel()
            self._request_due = None
        elif not complete and not self._request_due and not self.transport.is_closing():
            self._request_due = self.loop.call_later(self._timeout, self._give_up_request)

    def send_400_response(self, msg: str) -> None:
        """Refuse what uvicorn cannot make sense of."""
        error = sys.exc_info()[1]
        if getattr(error, "error_status_hint", 0) == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            limit = exact_size(self.config.h11_max_incomplete_event_size or 0)
            detail = f"the address and the headers are larger than {limit}"
            self.reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
        else:
            self.reject(HTTPStatus.BAD_REQUEST, msg)

    def pause_writing(self) -> None:
        """Wait until the client has read what was sent."""
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        """Go on sending."""
        super().resume_writing()
        if self._reading_due:
            self._reading_due.cancel()
            self._reading_due = None

    def _await_reading(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._reading_due = self.loop.call_later(self._timeout, self._give_up_answer, unread)

    def _give_up_request(self) -> None:
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self.transport.close()  # it has not said a word
        else:
            self.reject(HTTPStatus.REQUEST_TIMEOUT, f"the request was not complete after {self._timeout:g} s")

    def _give_up_answer(self, unread: int) -> None:
        if unread - self.transport.get_write_buffer_size() < _LEAST:
            self.transport.abort()
        else:
            self._await_reading()

    def reject(self, status: HTTPStatus, detail: str) -> None:
        """Answer in uvicorn's place, unless an answer has begun, and hang up."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            body = Problem(title=status.phrase, status=status, detail=detail).model_dump_json()
            self.transport.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/problem+json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
            )
        self.transport.close()


def _peer(connected: socket.socket) -> tuple[str, int] | None:
    """Return the user at the other end of a unix socket, in the place of a host and its port."""
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
