"""Tells the service that a job has stored something: a FIFO in the state directory, which carries ids of jobs.

It carries no data: a message that is lost, because the service is away or slow, only lets followers wait for their next
look at the store.
"""

import contextlib
import os
import stat
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Final

NAME: Final = "wake"
"""Name of the file in the state directory."""

_JOB: Final = struct.Struct("<Q")
_READ_BYTES: Final = 64 << 10  # the capacity of a FIFO


def listen(state_dir: Path) -> int:
    """Return a descriptor that is readable when a job has something new.

    Raises:
        OSError: the file cannot be made, or is something else.
    """
    file = state_dir / NAME
    with contextlib.suppress(FileExistsError):
        os.mkfifo(file, 0o600)
    # With a writer of its own, the reader sees no end when an executor closes the file.
    descriptor = os.open(file, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not _is_fifo(descriptor):
        os.close(descriptor)
        raise FileExistsError(f"{file} is in the way")
    return descriptor


def jobs(descriptor: int) -> Collection[int]:
    """Return the ids of jobs that have something new."""
    try:
        data = os.read(descriptor, _READ_BYTES)
    except BlockingIOError:
        return ()
    whole = len(data) - len(data) % _JOB.size
    return {job for (job,) in _JOB.iter_unpack(data[:whole])}


def ring(state_dir: Path, job: int) -> None:
    """Tell the service, if it listens, that a job has stored something. Neither waits nor fails."""
    with contextlib.suppress(OSError):  # no service runs, or it has not read for long
        descriptor = os.open(state_dir / NAME, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if _is_fifo(descriptor):
                os.write(descriptor, _JOB.pack(job))
        finally:
            os.close(descriptor)


def _is_fifo(descriptor: int) -> bool:
    return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
