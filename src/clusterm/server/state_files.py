"""The files of the service's state: their locks, and their permissions."""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from clusterm.errors import StartupError
from clusterm.settings import Settings
from clusterm.store import sqlite

_WRITE_BY_OTHERS: Final = 0o022
_ANY_BY_OTHERS: Final = 0o077
_ABSENT: Final = (FileNotFoundError, NotADirectoryError)  # a file in the way of a directory is reported by `locked`


@contextlib.contextmanager
def locked(settings: Settings, database: Path | None) -> Iterator[None]:
    """Lock the state directory and the database against a second service until the block ends.

    Before, the database and the directory of jobs are closed to other users, because earlier versions left that to the
    umask. The lock of the database is a file beside it, because a database may be outside of the state directory.

    Args:
        settings: the settings with the state directory, which is created.
        database: the database file, which need not exist; its directory is created. None if a server has it.

    Raises:
        StartupError: another service runs with one of them, a directory cannot be used or belongs to another user, or
            other users can write to the state or read its key.
    """
    _close_to_others(settings, database)  # first, so that the locks are not created by the wrong user
    state_dir = settings.manager.state_dir
    with contextlib.ExitStack() as stack:
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            stack.enter_context(_lock(state_dir / "lock", f"the state directory {state_dir}"))
        except OSError as error:
            raise StartupError(
                f"cannot use the state directory {state_dir}: {error.strerror}; set manager.state_dir to a writable one"
            ) from None
        if database is None:
            yield
            return
        try:
            database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            stack.enter_context(_lock(database.with_name(f"{database.name}.lock"), f"the database {database}"))
        except OSError as error:
            raise StartupError(
                f"cannot use the directory {database.parent} of the database: {error.strerror}; set store.url to a "
                "database in a writable one"
            ) from None
        yield


def open_to_others(settings: Settings, database: Path | None) -> Iterator[str]:
    """Yield how other users could read the secrets of the state or replace its files, and what to do.

    Args:
        settings: the settings with the state directory.
        database: the database file, which need not exist; None if a server has it.
    """
    yield from _check(settings.manager.state_dir, _WRITE_BY_OTHERS, "go-w")
    for private in (settings.key_file, settings.jobs_dir, *_files(database)):
        yield from _check(private, _ANY_BY_OTHERS, "go=")


def _files(database: Path | None) -> list[Path]:
    return [] if database is None else sqlite.files(database)


def _close_to_others(settings: Settings, database: Path | None) -> None:
    for file in (settings.jobs_dir, *_files(database)):
        with contextlib.suppress(*_ABSENT, PermissionError):  # the latter is reported below
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & _ANY_BY_OTHERS:
                file.chmod(mode & ~_ANY_BY_OTHERS)
    if problem := next(open_to_others(settings, database), None):
        raise StartupError(problem)


@contextlib.contextmanager
def _lock(file: Path, what: str) -> Iterator[None]:
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartupError(f"another clusterm is running on {what}") from None
        yield
    finally:
        os.close(lock)


def _check(path: Path, forbidden: int, change: str) -> Iterator[str]:
    try:
        found = path.stat()
    except _ABSENT:
        return
    except OSError as error:
        yield f"cannot look at {path}: {error.strerror}"
        return
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in {os.geteuid(), 0}:
        yield f"{path} belongs to another user: run clusterm as that user, or chown {os.geteuid()} {path}"
    elif mode & forbidden:
        yield f"other users have access to {path} (mode {mode:04o}): chmod {change} {path}"
