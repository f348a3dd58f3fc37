"""The database: one engine, and transactions that say whether they write."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import make_url
from sqlmodel import Session

BUSY_TIMEOUT_S: Final = 4.0
"""Seconds that a transaction waits for another one's write lock; less than the service may take to stop."""

_PAGES: Final = 500
"""Pages that are given back in one transaction."""


class Store:
    """An open database. May be used by several threads and processes at once."""

    def __init__(self, url: str) -> None:
        self.path = Path(make_url(url).database or "")
        self._engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S}, hide_parameters=True)
        event.listen(self._engine, "connect", _set_up_connection)
        event.listen(self._engine, "begin", _begin)
        self._writing = self._engine.execution_options(writes=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that sees one snapshot and changes nothing."""
        with Session(self._engine, autoflush=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction that has the write lock from its start; commit it at the end, or roll it back.

        Raises:
            sqlalchemy.exc.OperationalError: the lock was not to be had in time, or the disk is full.
        """
        with Session(self._writing) as session, session.begin():
            yield session

    def connect(self) -> Connection:
        """Return a bare connection with the write lock, for migrations."""
        return self._writing.connect()

    def set_up(self) -> None:
        """Set what a new database keeps by itself from then on.

        Raises:
            sqlite3.DatabaseError: it cannot be opened or written.
        """
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")  # free pages can be given back
                cursor.execute("PRAGMA journal_mode = WAL")  # readers and the writer do not wait for each other
        finally:
            connection.close()

    def give_back(self) -> None:
        """Return the pages that deletions have freed to the disk, some at a time."""
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            before, free = None, cursor.execute("PRAGMA freelist_count").fetchone()[0]
            while free and free != before:  # a database that somebody else made may not be able to
                cursor.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
                before, free = free, cursor.execute("PRAGMA freelist_count").fetchone()[0]
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.close()

    def scrub(self) -> None:
        """Write the database anew, without anything that was deleted or replaced.

        Raises:
            sqlite3.Error: there is no room for it, or another process writes all the time.
        """
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.close()

    def size(self) -> int:
        """Return how many bytes the database's files have."""
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return sum(path.stat().st_size for path in files if path.exists())

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _set_up_connection(connection: sqlite3.Connection, _record: object) -> None:
    """Prepare a new connection, as SQLite's documentation on each pragma advises."""
    connection.isolation_level = None  # sqlite3 would else begin transactions by itself, and without the lock
    connection.execute("PRAGMA synchronous = FULL")  # what was committed survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")  # what is deleted or replaced is not left in the file


def _begin(connection: Connection) -> None:
    """Begin a transaction; one that will write takes the lock now, where it can wait for it.

    A transaction that reads first and then writes fails at once if another one wrote in between.
    """
    options: dict[str, Any] = dict(connection.get_execution_options())
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")
