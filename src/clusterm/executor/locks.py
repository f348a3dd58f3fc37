"""Detect by file locks which processes of a job are alive."""

import contextlib
import fcntl
import os
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil

_VERSION: Final = version("clusterm")


def hold(directory: Path) -> int | None:
    """Acquire the lock of a job's executor; the kernel releases it when the process exits.

    Returns:
        File descriptor of the lock; None if another executor holds it.
    """
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def sign(lock: int) -> None:
    """Write this executor's version into its lock."""
    with contextlib.suppress(OSError):  # the disk is full; the next service then treats the executor as outdated
        os.ftruncate(lock, 0)
        os.pwrite(lock, _VERSION.encode(), 0)


def end_outdated_holder(directory: Path) -> bool:
    """Kill the executor that holds a job's lock if its version differs; return whether one was killed.

    That executor was started before an upgrade that may have changed the database's columns. The next executor resumes
    the job.
    """
    if (directory / "lock").read_text(errors="replace") == _VERSION:
        return False
    command = ["-m", "clusterm.executor", str(directory)]
    killed = False
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # the process has just ended
            if process.cmdline()[-3:] == command:
                process.kill()
                killed = True
    return killed


def playbook_runs(directory: Path) -> bool:
    """Return whether a playbook of the job in a directory is running, independent of its executor."""
    return any(is_watched(started) for started in directory.glob("*/started"))


def is_watched(started: Path) -> bool:
    """Return whether a living wrapper holds the lock on a step's `started`."""
    try:
        with started.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
