"""SQLite: everything that PostgreSQL does in another way, apart from the options of tables."""

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext, make_url

from clusterm.store.errors import StoreReplaced

VERSION: Final = sqlite3.sqlite_version
"""Version of the SQLite library."""

BUSY_TIMEOUT_S: Final = 4.0
"""Seconds that a transaction waits for the write lock of another one; shorter than the time the service has to stop."""

BEGIN_READ: Final = "BEGIN"
"""Begins a transaction that sees one snapshot, taken by its first query."""

BEGIN_WRITE: Final = "BEGIN IMMEDIATE"
"""Begins a transaction that takes the write lock, and waits for the lock where necessary.

A transaction that takes the lock only at its first change fails at once if another one has written in between.
"""

TEST_WRITE: Final = "PRAGMA user_version = 0"
"""Writes the first page of the database and changes nothing: clusterm does not use this number, which is 0."""

DriverError = sqlite3.Error
"""Base class of the driver's exceptions."""

_PRIMARY_CODE: Final = 0xFF
"""Mask of the primary result code in an extended one (https://www.sqlite.org/rescode.html)."""

_TRANSIENT_CODES: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,  # a race for the locks of the WAL
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,  # a file system is made read-only after an error of its disk
        sqlite3.SQLITE_PERM,
    }
)

_CONNECTION_CODES: Final = frozenset(
    {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
)
"""Errors after which the connection is not used again."""

_MAX_PROBLEMS: Final = 20

MAX_EMPTY_WAL_BYTES: Final = 16 * 1024 * 1024
"""Size to which the file of the WAL is cut when it is written again from its start."""

_PAGES_PER_STEP: Final = 500
"""Pages that one transaction returns to the disk."""


def is_transient(error: BaseException) -> bool:
    """Return whether an operation that failed with a driver's error may succeed later.

    Damage, a constraint, or a statement for another schema is not transient.
    """
    return _primary_code(error) in _TRANSIENT_CODES


def is_damage(error: BaseException) -> bool:
    """Return whether a driver's error says that the file is damaged, or is no database."""
    return _primary_code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def spoils_connection(error: BaseException) -> bool:
    """Return whether to open another connection after a driver's error.

    If SQLite cannot open the file for writing, be it for want of a file descriptor, it opens it for reading only, and
    the connection stays so.
    """
    return _primary_code(error) in _CONNECTION_CODES


def message(error: BaseException) -> str:
    """Return the text of a driver's error, which contains no values of statements."""
    return str(error)


class FileIdentity(NamedTuple):
    """What tells a file from one that has taken its name."""

    device: int
    inode: int


def identify(path: Path) -> FileIdentity | None:
    """Return the identity of a database's file; None if there is no such file."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return FileIdentity(found.st_dev, found.st_ino)


def create(path: Path) -> None:
    """Create an empty file that only its owner can read, unless there is one; SQLite's side files get the same mode.

    Raises:
        OSError: the file cannot be created.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def connect(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """Open a database that exists; a transaction waits so many seconds for a lock."""
    # With the default mode, SQLite creates an empty database where the file is missing.
    return sqlite3.connect(_uri(path, "rw"), uri=True, timeout=busy_timeout_s, check_same_thread=False)


def configure_connection(connection: sqlite3.Connection) -> None:
    """Prepare a new connection, as SQLite's documentation of each pragma advises."""
    connection.isolation_level = None  # otherwise sqlite3 begins transactions by itself, without the lock
    connection.execute("PRAGMA synchronous = FULL")  # committed data survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")  # no deleted or replaced data remains in the file
    connection.execute(f"PRAGMA journal_size_limit = {MAX_EMPTY_WAL_BYTES}")


def copy(source: Path, target: Path) -> None:
    """Copy a database, with the changes that are still in its WAL, into an empty file, and write it to the disk."""
    with (
        closing(sqlite3.connect(_uri(source, "ro"), uri=True)) as reading,
        closing(connect(target, 0)) as writing,
    ):
        reading.backup(writing)
        writing.execute("PRAGMA journal_mode = DELETE")  # leaves no side files, whose names would not follow
    with target.open("rb") as copied:
        os.fsync(copied.fileno())


def problems(path: Path) -> list[str]:
    """Return the problems of the pages, indexes and references of a database; it reads the whole file."""
    with closing(sqlite3.connect(_uri(path, "ro"), uri=True)) as connection:
        try:
            found = [text for (text,) in connection.execute(f"PRAGMA integrity_check({_MAX_PROBLEMS})") if text != "ok"]
            if found:
                return found
            rows = connection.execute("PRAGMA foreign_key_check").fetchmany(_MAX_PROBLEMS)
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                return [str(error)]
            raise
    return [f"a row of {table} refers to a missing row of {parent}" for table, _, parent, _ in rows]


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
    # A truncation that waits for readers holds the lock of the writers meanwhile. Without waiting, it succeeds if no
    # reader needs the WAL; otherwise the WAL is used again from its start when the readers have ended.
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    (timeout,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        _empty_wal(connection)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {timeout}")


def scrub(connection: sqlite3.Connection) -> None:
    """Rewrite the database file without deleted and replaced data."""
    connection.execute("VACUUM")
    _empty_wal(connection)


def size(path: Path) -> int:
    """Return the bytes that the files of a database have on disk."""
    database, wal, _ = files(path)
    return sum(file.stat().st_size for file in (database, wal) if file.exists())


def files(path: Path) -> list[Path]:
    """Return the files of a database: itself, its WAL, and the index of the WAL. The last two may be missing."""
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]


def _primary_code(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY_CODE


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


def _free_pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


def _empty_wal(connection: sqlite3.Connection) -> None:
    """Move the WAL into the database and cut it to nothing, unless other connections use it until the timeout."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class SqliteDatabase:
    """A database in a file.

    If the file is moved, removed or replaced, its transactions are refused: a connection that is open would write to
    the old one.

    Args:
        url: the URL of the file.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.file = Path(make_url(url).database or "")
        self.name = str(self.file)
        self._identity: FileIdentity | None = None
        self._identifying = threading.Lock()

    def make_engine(self) -> Engine:
        """Return an engine, which opens connections when they are needed."""
        engine = create_engine(self._url, creator=lambda: connect(self.file, BUSY_TIMEOUT_S), hide_parameters=True)
        event.listen(engine, "connect", lambda connection, _: configure_connection(connection))
        event.listen(engine, "handle_error", _replace_spoiled_connection)
        return engine

    def begin(self, connection: Connection, *, writes: bool) -> None:
        """Begin a transaction."""
        connection.exec_driver_sql(BEGIN_WRITE if writes else BEGIN_READ)

    def check_identity(self) -> None:
        """Check that the database is still the file that was opened first.

        Raises:
            StoreReplaced: it is missing, or it is another file.
        """
        found = identify(self.file)
        with self._identifying:
            if self._identity is None:
                self._identity = found
        if found is None:
            raise StoreReplaced(f"the database {self.file} is missing")
        if found != self._identity:
            raise StoreReplaced(f"the database {self.file} was replaced by another file")

    def lock_service(self) -> None:
        """Do nothing: the service locks a file beside the database."""

    def create(self, engine: Engine) -> None:
        """Create an empty database that only its owner can read, unless it exists."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create(self.file)
        self.check_identity()
        _maintain(engine, set_up)

    def test_write(self, connection: Connection) -> None:
        """Write the first page."""
        connection.exec_driver_sql(TEST_WRITE)

    def begin_migration(self, connection: Connection) -> None:
        """Do nothing: a transaction may take long."""

    def reclaim_space(self, engine: Engine) -> None:
        """Return the space of deleted rows to the disk, in short transactions."""
        _maintain(engine, reclaim_space)

    def scrub(self, engine: Engine) -> None:
        """Rewrite the file without deleted and replaced data."""
        _maintain(engine, scrub)

    def problems(self) -> list[str]:
        """Return the problems of its pages, indexes and references; it reads the whole file."""
        return problems(self.file)

    def size(self, engine: Engine) -> int:  # noqa: ARG002
        """Return the size of its files in bytes."""
        return size(self.file)

    def server_version(self, engine: Engine) -> str | None:  # noqa: ARG002
        """Return None: there is no server."""
        return None


def _replace_spoiled_connection(context: ExceptionContext) -> None:
    if spoils_connection(context.original_exception):
        context.is_disconnect = True


def _maintain(engine: Engine, work: Callable[[Any], None]) -> None:
    """Do work on a connection of the driver, outside of transactions."""
    connection = engine.raw_connection()
    try:
        work(connection.driver_connection)
    finally:
        connection.close()
