"""The database: one engine, and transactions that declare whether they write."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import ExceptionContext, make_url
from sqlmodel import Session

from clusterm.store import sqlite
from clusterm.store.errors import StoreDamaged, StoreReplaced, StoreUnavailable, translate_errors

BUSY_TIMEOUT_S: Final = 4.0
"""Seconds that a transaction waits for the write lock of another one; shorter than the time the service has to stop."""

_TEST_WRITE_INTERVAL_S: Final = 10.0
"""Seconds for which a successful test of writing counts, because each one waits for the disk."""


class Store:
    """An open database. Several threads and processes may use it at the same time.

    Opening a store never creates its database; `create` does. All transactions of a store are in the same file: if the
    file is moved, removed or replaced meanwhile, they are refused, because a connection that is open would still
    write to the old file.

    Args:
        url: the database's URL.
    """

    version: Final = sqlite.VERSION
    """Version of the database software."""

    def __init__(self, url: str) -> None:
        self.path = Path(make_url(url).database or "")
        """The database file."""
        self._file: sqlite.FileIdentity | None = None
        self._identifying = threading.Lock()
        self._damage: str | None = None
        self._writable_at: float | None = None  # monotonic time; None if the last write has failed
        self._engine = create_engine(
            url, creator=lambda: sqlite.connect(self.path, BUSY_TIMEOUT_S), hide_parameters=True
        )
        event.listen(self._engine, "connect", lambda connection, _: sqlite.configure_connection(connection))
        event.listen(self._engine, "begin", _begin)
        event.listen(self._engine, "handle_error", _replace_spoiled_connection)
        self._writing = self._engine.execution_options(writes=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that sees one snapshot and changes nothing.

        Raises:
            StoreUnavailable: the database cannot be used at the moment.
            StoreReplaced: the database is not the file any more that this store has opened.
            StoreError: the database failed otherwise.
        """
        self.check_file()
        with self._noting_damage(), translate_errors(), Session(self._engine, autoflush=False) as session:
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
            StoreReplaced: the database is not the file any more that this store has opened. Nothing has changed.
            StoreError: the database failed otherwise, or a constraint forbids the change. Nothing has changed.
        """
        self.check_file()
        try:
            with self._noting_damage(), translate_errors(), Session(self._writing) as session, session.begin():
                yield session
        except StoreUnavailable:
            self._writable_at = None
            raise

    def connect(self) -> Connection:
        """Return a bare connection whose transactions hold the write lock, for migrations."""
        return self._writing.connect()

    def check_writable(self) -> None:
        """Check that a transaction can take the write lock and write, and that no damage was found so far.

        It writes at most every ten seconds while that succeeds, and always after a transaction has failed.

        Raises:
            StoreError: it cannot.
        """
        if self._damage is not None:
            raise StoreDamaged(self._damage)
        with self.write() as session:
            session.execute(text("SELECT 1 FROM settings"))
            must_write = self._writable_at is None or time.monotonic() - self._writable_at > _TEST_WRITE_INTERVAL_S
            if must_write:
                session.execute(text(sqlite.TEST_WRITE))
        if must_write:
            self._writable_at = time.monotonic()

    def check_file(self) -> None:
        """Check that the database is still the file that this store has opened first.

        Raises:
            StoreReplaced: it is missing, or it is another file.
        """
        found = sqlite.identify(self.path)
        with self._identifying:
            if self._file is None:
                self._file = found
        if found is None:
            raise StoreReplaced(f"the database {self.path} is missing")
        if found != self._file:
            raise StoreReplaced(f"the database {self.path} was replaced by another file")

    def create(self) -> None:
        """Create an empty database that only its owner can read, unless it exists.

        Raises:
            OSError: the file cannot be created.
            StoreError: the database cannot be opened or written.
        """
        sqlite.create(self.path)
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

    @contextmanager
    def _noting_damage(self) -> Iterator[None]:
        """Remember damage, since only the statements that read the damaged pages fail."""
        try:
            yield
        except StoreDamaged as error:
            self._damage = str(error)
            raise

    def _maintain(self, work: Callable[[Any], None]) -> None:
        """Do work on a connection of the driver, outside of transactions."""
        self.check_file()
        with translate_errors():
            connection = self._engine.raw_connection()
            try:
                work(connection.driver_connection)
            finally:
                connection.close()


def _replace_spoiled_connection(context: ExceptionContext) -> None:
    if sqlite.spoils_connection(context.original_exception):
        context.is_disconnect = True


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql(sqlite.BEGIN_WRITE if writes else sqlite.BEGIN_READ)
