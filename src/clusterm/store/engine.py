"""The database: one engine, and transactions that declare whether they write."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlmodel import Session

from clusterm.store import sqlite
from clusterm.store.errors import translate_errors

BUSY_TIMEOUT_S: Final = 4.0
"""Seconds that a transaction waits for the write lock of another one; shorter than the time the service has to stop."""


class Store:
    """An open database. Several threads and processes may use it at the same time.

    Args:
        url: the database's URL.
    """

    version: Final = sqlite.VERSION
    """Version of the database software."""

    def __init__(self, url: str) -> None:
        self.path = Path(make_url(url).database or "")
        """The database file."""
        arguments = sqlite.connect_arguments(BUSY_TIMEOUT_S)
        self._engine = create_engine(url, connect_args=arguments, hide_parameters=True)
        event.listen(self._engine, "connect", lambda connection, _: sqlite.configure_connection(connection))
        event.listen(self._engine, "begin", _begin)
        self._writing = self._engine.execution_options(writes=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that sees one snapshot and changes nothing.

        Raises:
            StoreUnavailable: the database cannot be used at the moment.
            StoreError: the database failed otherwise.
        """
        with translate_errors(), Session(self._engine, autoflush=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction that holds the write lock from its first statement; commit it at the end of the block.

        An exception rolls it back. Among all threads and processes, at most one transaction holds the lock, so:

        - What the transaction has read is still true when it commits. It may check a rule first and then change rows.
        - Ids, and the `end_order` of jobs, are assigned in the order of the commits. A client that asks for the rows
          after the last id that it has seen misses none.

        It waits up to `BUSY_TIMEOUT_S` seconds for the lock. Keep it short: every other writer waits meanwhile.

        Raises:
            StoreUnavailable: the lock was not free in time, or the disk is full or fails. Nothing has changed.
            StoreError: the database failed otherwise, or a constraint forbids the change. Nothing has changed.
        """
        with translate_errors(), Session(self._writing) as session, session.begin():
            yield session

    def connect(self) -> Connection:
        """Return a bare connection whose transactions hold the write lock, for migrations."""
        return self._writing.connect()

    def check_writable(self) -> None:
        """Check that a transaction can take the write lock and read.

        Raises:
            StoreError: it cannot.
        """
        with self.write() as session:
            session.execute(text("SELECT 1 FROM settings"))

    def set_up(self) -> None:
        """Set the properties that a new database keeps from then on.

        Raises:
            StoreError: the database cannot be opened or written.
        """
        self._maintain(sqlite.set_up)

    def reclaim_space(self) -> None:
        """Return the space of deleted rows to the disk, in short transactions.

        Raises:
            StoreError: the database cannot be written.
        """
        self._maintain(sqlite.reclaim_space)

    def scrub(self) -> None:
        """Rewrite the database file without deleted and replaced data.

        Raises:
            StoreError: the disk has no room for the copy, or other processes write all the time.
        """
        self._maintain(sqlite.scrub)

    def size(self) -> int:
        """Return the size of the database's files in bytes."""
        return sqlite.size(self.path)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _maintain(self, work: Callable[[Any], None]) -> None:
        """Do work on a connection of the driver, outside of transactions."""
        with translate_errors():
            connection = self._engine.raw_connection()
            try:
                work(connection.driver_connection)
            finally:
                connection.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql(sqlite.BEGIN_WRITE if writes else sqlite.BEGIN_READ)
