"""Look up host names without occupying the threads that other work needs, nor the end of the process.

A resolver may take half a minute. Each lookup has a daemon thread of its own, which a stop does not wait for.
"""

import asyncio
import contextlib
import errno
import ipaddress
import socket
import threading
from typing import Any, Final

_lookups: Final = threading.BoundedSemaphore(500)

AddressInfo = list[tuple[Any, Any, int, str, Any]]
"""What `socket.getaddrinfo` returns."""


class NameLookupLoop(asyncio.SelectorEventLoop):
    """An event loop whose connections look up names this way; asyncio's own use the loop's few worker threads."""

    async def getaddrinfo(
        self,
        host: str | bytes | None,
        port: int | str | bytes | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 -- asyncio calls it so
        proto: int = 0,
        flags: int = 0,
    ) -> AddressInfo:
        """Return the socket addresses of a host; arguments and errors are those of `socket.getaddrinfo`.

        Raises:
            OSError: the name cannot be looked up; also if hundreds of lookups have not been answered.
        """
        with contextlib.suppress(ValueError, UnicodeDecodeError):
            ipaddress.ip_address(host.decode("ascii") if isinstance(host, bytes) else host or "")
            return socket.getaddrinfo(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
        if not _lookups.acquire(blocking=False):
            raise OSError(errno.EAGAIN, "the name service does not answer")
        answer: asyncio.Future[AddressInfo] = self.create_future()

        def look_up() -> None:
            found: AddressInfo = []
            failure: Exception | None = None
            try:
                found = socket.getaddrinfo(host, port, family, type, proto, flags)
            except (OSError, UnicodeError) as error:
                failure = error
            finally:
                _lookups.release()
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self.call_soon_threadsafe(_settle, answer, found, failure)

        try:
            threading.Thread(target=look_up, name="resolver", daemon=True).start()
        except RuntimeError:  # there is no room for a further thread
            _lookups.release()
            raise OSError(errno.EAGAIN, "no thread can be started for a name lookup") from None
        return await answer


def _settle(answer: asyncio.Future[AddressInfo], found: AddressInfo, failure: Exception | None) -> None:
    """Set the result of a lookup, unless its receiver has been cancelled."""
    if answer.done():
        return
    if failure is None:
        answer.set_result(found)
    else:
        answer.set_exception(failure)
