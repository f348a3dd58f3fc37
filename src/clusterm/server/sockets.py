"""Create the sockets that the service listens on: at network addresses, or in files."""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from clusterm.errors import StartupError
from clusterm.settings import ManagerSettings, split_address, unix_path

_ANY_IPV4: Final = "0.0.0.0"  # noqa: S104 -- used only if it is configured
_ANY_IPV6: Final = "::"
_NO_IPV6: Final = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}


@contextlib.contextmanager
def listen(manager: ManagerSettings) -> Iterator[list[socket.socket]]:
    """Listen at all addresses for the duration of the context.

    Raises:
        StartupError: an address is invalid or not available.
    """
    with contextlib.ExitStack() as stack:
        yield [
            listening
            for addr in manager.addresses
            for listening in stack.enter_context(_listen_at(addr, int(manager.socket_mode, 8)))
        ]


def url(listening: socket.socket, *, tls: bool) -> str:
    """Return the URL of a listening socket, in the form of clusterctl's `--url`."""
    if listening.family is socket.AF_UNIX:
        return f"unix:{listening.getsockname()}"
    host, port = listening.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def is_private(listening: socket.socket) -> bool:
    """Return whether a socket is reachable from this machine only."""
    return listening.family is socket.AF_UNIX or ip_address(listening.getsockname()[0]).is_loopback


@contextlib.contextmanager
def _listen_at(addr: str, mode: int) -> Iterator[list[socket.socket]]:
    path = unix_path(addr)
    try:
        sockets = [_in_file(path, mode)] if path else _in_network(addr)
    except OSError as error:
        reason = error.strerror or error  # a path that is too long raises without strerror
        raise StartupError(f"cannot listen on {addr}: {reason}; set manager.addr to a free address") from None
    made = _identity(path)
    try:
        yield sockets
    finally:
        for listening in sockets:
            listening.close()
        if path and made and _identity(path) == made:
            path.unlink()


def _in_network(addr: str) -> list[socket.socket]:
    host, port = split_address(addr)
    if addr.startswith(":") or host == _ANY_IPV6:
        return _at_every_address(port)
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return [_tcp(family, host, port)]


def _at_every_address(port: int) -> list[socket.socket]:
    """Listen at every address with one socket for each IP version.

    A single socket for both would report IPv4 clients as `::ffff:192.0.2.1`.
    """
    while True:
        ipv4 = _tcp(socket.AF_INET, _ANY_IPV4, port)
        try:
            return [ipv4, _tcp(socket.AF_INET6, _ANY_IPV6, ipv4.getsockname()[1])]
        except OSError as error:
            if error.errno in _NO_IPV6:
                return [ipv4]
            ipv4.close()
            if port != 0 or error.errno != errno.EADDRINUSE:
                raise  # otherwise IPv6 uses the port that was free for IPv4: try the next one


def _tcp(family: int, host: str, port: int) -> socket.socket:
    listening = socket.create_server((host, port), family=family, backlog=1024)
    # Inherited by each connection. asyncio does not set it here, and small responses would wait 40 ms for an ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _in_file(path: Path, mode: int) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o777 & ~mode)  # applies at creation, so that other users can never connect
    try:
        _remove_stale(path)
        listening.bind(str(path))
        listening.listen(1024)
    except BaseException:
        listening.close()
        raise
    finally:
        os.umask(mask)
    return listening


def _remove_stale(path: Path) -> None:
    """Remove the socket of a killed service; a socket on which a process listens is kept."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except BlockingIOError:
            pass  # a process listens, and its queue is full


def _identity(path: Path | None) -> tuple[int, int] | None:
    """Return device and inode of a socket's file; None if the path is no socket."""
    try:
        found = path.lstat() if path else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found and stat.S_ISSOCK(found.st_mode) else None
