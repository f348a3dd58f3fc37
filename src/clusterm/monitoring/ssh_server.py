"""Recognizes ssh servers by their identification (RFC 4253, section 4.2).

The client identifies itself and disconnects in the way that the protocol has for it, so that a server logs neither an
attack nor an error, and says in its log who connected.
"""

import asyncio
import contextlib
import re
import socket
import struct
from importlib.metadata import version
from typing import Final

from clusterm.errors import quote

_IDENTIFICATION: Final = f"SSH-2.0-clusterm_{version('clusterm')}\r\n".encode()
_SERVER_IDENTIFICATION: Final = re.compile(rb"^SSH-(?:2\.0|1\.99)-", re.MULTILINE)
"""The server may send other lines before it."""

_MAX_GREETING: Final = 8192
"""Bytes that are read of what a server sends before its identification."""

_SHOWN: Final = 60
"""Bytes of another answer that are shown."""


async def identify(connected: socket.socket) -> str | None:
    """Check that an ssh server is at the other end of a connection, and disconnect from it.

    Args:
        connected: a non-blocking socket.

    Returns:
        The reason if it is not an ssh server; None if it is one.

    Raises:
        OSError: the connection failed.
    """
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connected, _IDENTIFICATION)
    received = b""
    while len(received) < _MAX_GREETING:
        data = await loop.sock_recv(connected, _MAX_GREETING)
        if not data:
            break
        received += data
        if _SERVER_IDENTIFICATION.search(received):
            with contextlib.suppress(OSError):  # the server may have closed the connection by itself
                await loop.sock_sendall(connected, _DISCONNECT)
            return None
    if not received:
        return "the connection was closed before an ssh server identified itself"
    line = received.splitlines()[0][:_SHOWN].decode(errors="backslashreplace")
    return f"not an ssh server: the answer was {quote(line)}"


def _disconnect_message() -> bytes:
    """Return an unencrypted packet (section 6) with SSH_MSG_DISCONNECT (section 11.1)."""
    description = b"reachability check by clusterm"
    by_application = 11
    payload = struct.pack(">BII", 1, by_application, len(description)) + description + struct.pack(">I", 0)
    padding = 4 + -(len(payload) + 9) % 8  # at least 4 bytes; length, padding length, payload and padding fill blocks
    return struct.pack(">IB", 1 + len(payload) + padding, padding) + payload + bytes(padding)


_DISCONNECT: Final = _disconnect_message()
