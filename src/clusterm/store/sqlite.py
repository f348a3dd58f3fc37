"""SQLite: everything that another database would do in another way, apart from the options of tables."""

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, LargeBinary, SQLColumnExpression, cast, func

VERSION: Final = sqlite3.sqlite_version
"""Version of the SQLite library."""

BEGIN_READ: Final = "BEGIN"
"""Begins a transaction that sees one snapshot, taken by its first query."""

BEGIN_WRITE: Final = "BEGIN IMMEDIATE"
"""Begins a transaction that takes the write lock, and waits for the lock where necessary.

A transaction that takes the lock only at its first change fails at once if another one has written in between.
"""

DriverError = sqlite3.Error
"""Base class of the driver's exceptions."""

_PAGES_PER_STEP: Final = 500
"""Pages that one transaction returns to the disk."""


def is_transient(error: BaseException) -> bool:
    """Return whether an operation that failed with a driver's error may succeed later.

    The driver raises `OperationalError` where the cause is the environment: a lock, a full or failing disk, or
    permissions.
    """
    return isinstance(error, sqlite3.OperationalError)


def connect_arguments(busy_timeout_s: float) -> dict[str, Any]:
    """Return the driver's arguments for a connection that waits so many seconds for a lock."""
    return {"timeout": busy_timeout_s}


def configure_connection(connection: sqlite3.Connection) -> None:
    """Prepare a new connection, as SQLite's documentation of each pragma advises."""
    connection.isolation_level = None  # otherwise sqlite3 begins transactions by itself, without the lock
    connection.execute("PRAGMA synchronous = FULL")  # committed data survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")  # no deleted or replaced data remains in the file


def set_up(connection: sqlite3.Connection) -> None:
    """Set the properties that the database file keeps, unless they are set."""
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # free pages can be returned to the disk
        connection.execute("PRAGMA journal_mode = WAL")  # readers and the writer do not wait for each other


def reclaim_space(connection: sqlite3.Connection) -> None:
    """Return free pages to the disk, in short transactions."""
    before, free = None, _free_pages(connection)
    while free and free != before:  # in a database that another program created, it may have no effect
        connection.execute(f"PRAGMA incremental_vacuum({_PAGES_PER_STEP})").fetchall()
        before, free = free, _free_pages(connection)
    _empty_wal(connection)


def scrub(connection: sqlite3.Connection) -> None:
    """Rewrite the database file without deleted and replaced data."""
    connection.execute("VACUUM")
    _empty_wal(connection)


def size(path: Path) -> int:
    """Return the bytes that the files of a database have on disk."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def contains(text: SQLColumnExpression[Any], part: str, *, ignore_case: bool = False) -> ColumnElement[bool]:
    """Return the condition that a text contains another one, literally. Only ASCII letters can ignore their case."""
    return func.instr(func.lower(text), func.lower(part)) > 0 if ignore_case else func.instr(text, part) > 0


def byte_length(text: SQLColumnExpression[Any]) -> ColumnElement[int]:
    """Return the expression for the length of a text in UTF-8."""
    return func.length(cast(text, LargeBinary))


def _free_pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


def _empty_wal(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
