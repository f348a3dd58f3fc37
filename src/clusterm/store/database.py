"""What the store needs of a database: SQLite and PostgreSQL each do it in their own way."""

from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine


class Database(Protocol):
    """One database, and how to open, lock and maintain it."""

    name: str
    """How messages name it: a file, or a URL without a password."""

    @property
    def file(self) -> Path | None:
        """The file; None if a server has it."""

    def make_engine(self) -> Engine:
        """Return an engine, which opens connections when they are needed."""

    def begin(self, connection: Connection, *, writes: bool) -> None:
        """Begin a transaction: one that sees one snapshot and changes nothing, or one that holds the write lock.

        A transaction that takes the lock only at its first change could have read what another one changes meanwhile.
        """

    def check_identity(self) -> None:
        """Check that the database is still the one that was opened first.

        Raises:
            StoreReplaced: it is missing, or it is another one.
        """

    def lock_service(self) -> None:
        """Hold the lock of the service until this process ends; get it again if it was lost.

        Raises:
            StoreError: another service holds it, or the database cannot be used.
        """

    def create(self, engine: Engine) -> None:
        """Create an empty database unless it exists, and prepare it for the tables.

        Raises:
            OSError: it cannot be created.
            StoreError: it cannot be opened or written.
            StoreUnusable: it cannot hold the tables.
        """

    def test_write(self, connection: Connection) -> None:
        """Write without changing anything."""

    def begin_migration(self, connection: Connection) -> None:
        """Let the transaction take as long as a migration needs."""

    def reclaim_space(self, engine: Engine) -> None:
        """Return the space of deleted rows to the disk, in short transactions."""

    def scrub(self, engine: Engine) -> None:
        """Remove deleted and replaced data from the disk.

        Raises:
            StoreError: that is not possible.
        """

    def problems(self) -> list[str]:
        """Return the problems of pages, indexes and references that only the database itself can find."""

    def size(self, engine: Engine) -> int:
        """Return its size in bytes."""

    def server_version(self, engine: Engine) -> str | None:
        """Return the version of the server; None if there is none, or if it cannot be asked."""
