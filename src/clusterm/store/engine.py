"""The database: one engine, and transactions that declare whether they write."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, event, text
from sqlmodel import Session

from clusterm.common.database_url import is_postgresql
from clusterm.errors import StoreUnusable
from clusterm.store import sqlite
from clusterm.store.database import Database
from clusterm.store.error_translation import translate_errors
from clusterm.store.errors import StoreDamaged, StoreError, StoreUnavailable
from clusterm.store.postgresql import PostgresqlDatabase
from clusterm.store.sqlite import BUSY_TIMEOUT_S, SqliteDatabase

__all__ = ["BUSY_TIMEOUT_S", "Store"]

_TEST_WRITE_INTERVAL_S: Final = 10.0
"""Seconds for which a successful test of writing counts, because each one waits for the disk."""


class Store:
    """An open database. Several threads and processes may use it at the same time.

    Opening a store never creates its database; `create` does. All transactions of a store are in the same database.

    Args:
        url: the database's URL, `sqlite:///<path>` or `postgresql://...`.

    Raises:
        StoreUnusable: the driver of the database is not installed.
    """

    version: Final = sqlite.VERSION
    """Version of the SQLite library."""

    def __init__(self, url: str) -> None:
        self._database: Database = PostgresqlDatabase(url) if is_postgresql(url) else SqliteDatabase(url)
        self.name = self._database.name
        """How messages name the database."""
        self._damage: str | None = None
        self._writable_at: float | None = None  # monotonic time; None if the last write has failed
        self._server_version: str | None = None
        self._is_of_service = False
        self._engine = self._database.make_engine()
        event.listen(self._engine, "begin", self._begin)
        self._writing = self._engine.execution_options(writes=True)

    @property
    def file(self) -> Path | None:
        """The database file; None if the database is on a server."""
        return self._database.file

    @property
    def path(self) -> Path:
        """The database file.

        Raises:
            StoreUnusable: the database is on a server.
        """
        if self._database.file is None:
            raise StoreUnusable(f"the database {self.name} is not a file: use the tools of PostgreSQL for it")
        return self._database.file

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
        if self._is_of_service:
            self._database.lock_service()
        with self.write() as session:
            session.execute(text("SELECT 1 FROM settings"))
            must_write = self._writable_at is None or time.monotonic() - self._writable_at > _TEST_WRITE_INTERVAL_S
            if must_write:
                self._database.test_write(session.connection())
        if must_write:
            self._writable_at = time.monotonic()

    def check_file(self) -> None:
        """Check that the database is still the one that this store has opened first.

        Raises:
            StoreReplaced: its file is missing, or is another file.
        """
        self._database.check_identity()

    def lock_service(self) -> None:
        """Hold the lock of the service, of which a database on a server must have only one, until the process ends.

        Raises:
            StoreUnusable: another service holds it, or the server cannot be used.
        """
        try:
            self._database.lock_service()
        except StoreError as error:
            raise StoreUnusable(f"cannot use the database {self.name}: {error}") from error
        self._is_of_service = True

    def create(self) -> None:
        """Create an empty database that only its owner can read, unless it exists. A server must have it already.

        Raises:
            OSError: the file cannot be created.
            StoreError: the database cannot be opened or written.
            StoreUnusable: the database of a server is not fit for the tables.
        """
        with translate_errors():
            self._database.create(self._engine)

    def begin_migration(self, connection: Connection) -> None:
        """Prepare a transaction of `connect` for a migration, which may take long."""
        self._database.begin_migration(connection)

    def reclaim_space(self) -> None:
        """Return the space of deleted rows to the disk, in short transactions.

        Raises:
            StoreError: the database cannot be written.
        """
        self.check_file()
        with translate_errors():
            self._database.reclaim_space(self._engine)

    def scrub(self) -> None:
        """Rewrite the database without deleted and replaced data.

        Raises:
            StoreError: the disk has no room for the copy, other processes write all the time, or a server does not
                offer it.
        """
        self.check_file()
        with translate_errors():
            self._database.scrub(self._engine)

    def problems(self) -> list[str]:
        """Return what the database itself finds wrong in its pages and references.

        Raises:
            StoreError: the database cannot be read.
        """
        self.check_file()
        with translate_errors():
            return self._database.problems()

    def size(self) -> int:
        """Return the size of the database in bytes.

        Raises:
            StoreError: a server cannot be asked.
        """
        with translate_errors():
            return self._database.size(self._engine)

    def server_version(self) -> str | None:
        """Return the version of the PostgreSQL server; None for SQLite, or while the server cannot be asked."""
        if self._server_version is None:
            try:
                with translate_errors():
                    self._server_version = self._database.server_version(self._engine)
            except StoreError:
                return None
        return self._server_version

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

    def _begin(self, connection: Connection) -> None:
        self._database.begin(connection, writes=bool(connection.get_execution_options().get("writes")))
