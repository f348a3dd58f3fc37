"""Limits of open connections, applied when a connection is accepted: before TLS, and before anything is read."""

import contextlib
import logging
import resource
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from clusterm.access.proxies import TrustedProxies
from clusterm.common.log_limits import RepetitionFilter
from clusterm.problem_codes import ProblemCode
from clusterm.server.problems import problem_bytes
from clusterm.settings import ManagerSettings

log = logging.getLogger(__name__)
log.addFilter(RepetitionFilter(per_minute=10))

_RESERVED: Final = 200
"""File descriptors for everything but connections: the database, executors, webhooks."""

_RETRY_AFTER_S: Final = 5


def raise_descriptor_limit() -> int:
    """Raise this process's soft limit of file descriptors to the hard one, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class ConnectionLimits:
    """Counts the open connections, in all and for each address.

    Args:
        manager: the settings with the limits.
        descriptors: file descriptors that the process may have.
    """

    def __init__(self, manager: ManagerSettings, descriptors: int) -> None:
        self._total = min(manager.max_connections, max(1, descriptors - _RESERVED))
        if self._total < manager.max_connections:
            log.warning(
                "at most %d connections are accepted, fewer than manager.max_connections, because the limit of file "
                "descriptors is %d: raise it (LimitNOFILE= under systemd)",
                self._total,
                descriptors,
            )
        self._per_address = manager.max_connections_per_address
        self._proxies = TrustedProxies(manager.trusted_proxies)
        self._open: Counter[str] = Counter()

    def admit(self, address: str) -> str | None:
        """Count a new connection and return None; return the reason if it exceeds a limit.

        Args:
            address: IP address of the peer; empty for a unix socket, which has no limit of its own.
        """
        if self._open.total() >= self._total:
            return f"the service has {self._total} connections open, which is as many as it accepts"
        if address and self._open[address] >= self._per_address and address not in self._proxies:
            return f"{address} has {self._per_address} connections open (manager.max_connections_per_address)"
        self._open[address] += 1
        return None

    def release(self, address: str) -> None:
        """Count a connection as closed."""
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


class LimitedListener(socket.socket):
    """A listening socket that closes the connections that exceed the limits.

    Args:
        listening: the socket to take the place of.
        limits: the limits, shared by all listening sockets.
        tls: whether connections use TLS. Without TLS, a refused client gets a problem.
    """

    def __init__(self, listening: socket.socket, limits: ConnectionLimits, *, tls: bool) -> None:
        family, kind, protocol = listening.family, listening.type, listening.proto
        super().__init__(family, kind, protocol, fileno=listening.detach())
        self._limits = limits
        self._tls = tls

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            ConnectionAbortedError: it exceeds a limit, and is closed.
        """
        connected, peer = super().accept()
        address = "" if self.family is socket.AF_UNIX else str(peer[0])
        if (reason := self._limits.admit(address)) is not None:
            log.warning("a connection is refused: %s", reason)
            with connected:
                self._refuse(connected, reason)
            raise ConnectionAbortedError(reason)
        return _CountedSocket(connected, lambda: self._limits.release(address)), peer

    def _refuse(self, connected: socket.socket, reason: str) -> None:
        if self._tls:
            return
        retry_after = f"Retry-After: {_RETRY_AFTER_S}\r\n"
        connected.settimeout(0)
        with contextlib.suppress(OSError):  # the client has gone already
            connected.send(problem_bytes(ProblemCode.TOO_MANY_CONNECTIONS, reason, retry_after))
            connected.shutdown(socket.SHUT_WR)


class _CountedSocket(socket.socket):
    """A connection that reports when it is closed."""

    def __init__(self, connected: socket.socket, on_close: Callable[[], None]) -> None:
        family, kind, protocol = connected.family, connected.type, connected.proto
        super().__init__(family, kind, protocol, fileno=connected.detach())
        self._on_close: Callable[[], None] | None = on_close

    def close(self) -> None:
        """Close the connection."""
        super().close()
        if self._on_close is not None:
            self._on_close()
            self._on_close = None
