"""Locks that show which processes of a job are alive."""

import fcntl
import os
from pathlib import Path


def hold(directory: Path) -> int | None:
    """Take the lock that a job's executor holds for as long as it lives.

    Returns:
        The open lock; None if another executor has it.
    """
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def playbook_runs(directory: Path) -> bool:
    """Tell whether a playbook of the job in a directory is running, whatever became of its executor."""
    return any(is_watched(started) for started in directory.glob("*/started"))


def is_watched(started: Path) -> bool:
    """Tell whether the wrapper lives that holds the lock on a step's `started`."""
    try:
        with started.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
