"""Create the socket that the service listens on: at a network address, or in a file."""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from clusterm.errors import StartupError
from clusterm.settings import ManagerSettings, split_address


@contextlib.contextmanager
def listen(manager: ManagerSettings) -> Iterator[socket.socket]:
    """Listen for the duration of the context.

    Raises:
        StartupError: the address is invalid or not available.
    """
    try:
        listening = _in_file(manager.socket_path, manager.mode) if manager.socket_path else _in_network(manager.addr)
    except OSError as error:
        reason = error.strerror or error  # a path that is too long raises without strerror
        raise StartupError(f"cannot listen on {manager.addr}: {reason}; set manager.addr to a free address") from None
    made = _identity(manager.socket_path)
    try:
        yield listening
    finally:
        listening.close()
        if manager.socket_path and made and _identity(manager.socket_path) == made:
            manager.socket_path.unlink()


def url(listening: socket.socket, *, tls: bool) -> str:
    """Return the URL of a listening socket, in the form of clusterctl's `--url`."""
    if listening.family is socket.AF_UNIX:
        return f"unix:{listening.getsockname()}"
    host, port = listening.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def is_private(listening: socket.socket) -> bool:
    """Return whether a socket is reachable from this machine only."""
    return listening.family is socket.AF_UNIX or ip_address(listening.getsockname()[0]).is_loopback


def _in_network(addr: str) -> socket.socket:
    host, port = split_address(addr)
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
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
