"""Detect which processes of a job are alive: by file locks, and where the files are gone by their command lines."""

import contextlib
import fcntl
import os
import signal
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Final

import psutil

from clusterm.executor import wrapper

_VERSION: Final = version("clusterm")
_EXECUTOR_MODULE: Final = "clusterm.executor"


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
    """Write this executor's version and pid into its lock."""
    with contextlib.suppress(OSError):  # the disk is full; the next service then treats the executor as outdated
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{_VERSION} {os.getpid()}".encode(), 0)


def end_outdated_holder(directory: Path) -> bool:
    """Kill the executor that holds a job's lock if its version differs; return whether one was killed.

    That executor was started before an upgrade that may have changed the database's columns. The next executor resumes
    the job.
    """
    if _signature(directory)[:1] == [_VERSION]:
        return False
    outdated = [process for process, arguments in _processes(directory) if _EXECUTOR_MODULE in arguments]
    for process in outdated:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return bool(outdated)


def holder(directory: Path) -> int | None:
    """Return the pid of the executor that holds a job's lock; None if that is not known."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, IndexError, ValueError, psutil.Error):
        process = psutil.Process(int(_signature(directory)[1]))
        if (_EXECUTOR_MODULE, str(directory)) in pairwise(process.cmdline()):
            return process.pid
    return None


def end_processes(directory: Path) -> bool:
    """End the processes of a job without its executor, which is killed; return whether there were any.

    A living wrapper stops ansible as for a cancel, which takes a while: call this until no process is left. Processes
    without a wrapper are killed.
    """
    found = _processes(directory)
    executors = [process for process, arguments in found if _EXECUTOR_MODULE in arguments]
    wrappers = [process for process, arguments in found if wrapper.__file__ in arguments]
    for process in executors:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    for process in wrappers:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGUSR1)
    for process, _ in found if not wrappers else ():
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in (*process.children(recursive=True), process):
                each.kill()
    return bool(found)


def _signature(directory: Path) -> list[str]:
    return (directory / "lock").read_text(errors="replace").split()


def _processes(directory: Path) -> list[tuple[psutil.Process, list[str]]]:
    """Return the executors, wrappers and ansible of a job with their command lines, in which they name its directory.

    Any other program may name a file of the job, too, such as one with which a user reads it.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # the process has just ended
            arguments = process.cmdline()
            pairs = set(pairwise(arguments))
            if (
                (_EXECUTOR_MODULE, str(directory)) in pairs
                or any(program == wrapper.__file__ and Path(step).parent == directory for program, step in pairs)
                or ("--inventory", str(directory / "inventory.json")) in pairs
            ):
                found.append((process, arguments))
    return found


def playbook_runs(directory: Path) -> bool:
    """Return whether a playbook of the job in a directory is running, independent of its executor."""
    return any(is_watched(started) for started in directory.glob("*/started"))


def is_active(directory: Path) -> bool:
    """Return whether an executor or a playbook of the job in a directory runs, whichever service started it."""
    try:
        lock = hold(directory)
    except (FileNotFoundError, NotADirectoryError):
        return False
    if lock is None:
        return True
    os.close(lock)
    return playbook_runs(directory)


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
