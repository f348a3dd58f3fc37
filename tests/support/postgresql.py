"""A PostgreSQL server of the tests: one for all workers, started when the first test needs it."""

import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

_VARIABLE: Final = "CLUSTERM_TESTS_POSTGRESQL"
"""Names the server's directory to the workers."""

_CONFIGURATION: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "''",
    "max_connections": "300",
    "shared_buffers": "32MB",
    "timezone": "'Europe/Berlin'",  # clusterm sets its own
}

_numbers = count(1)


def find_binaries() -> Path | None:
    """Return the directory of PostgreSQL's programs, which Debian keeps out of PATH; None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    program = str(found[-1]) if found else shutil.which("initdb")
    return Path(program).parent if program else None


needs_postgresql: Final = pytest.mark.skipif(
    find_binaries() is None and "CI" not in os.environ,
    reason="PostgreSQL not found; CONTRIBUTING.md says where to get it",
)
"""Marks a test that needs a server: without one it is skipped, but in CI it runs, and so fails."""


def _user() -> str | None:
    """Return the user that the server runs as: root may not."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise LookupError("PostgreSQL does not run as root, and there is no user postgres or nobody")


class PostgresqlServer:
    """A server with a socket in its directory, on which all local users are its superuser.

    Args:
        directory: an empty directory, or the one of a server that was started before.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._programs = find_binaries()
        self._data = directory / "data"

    def start(self) -> None:
        """Start the server; create its data first if there is none."""
        if not self._data.exists():
            self._create()
        self._run("pg_ctl", "-D", self._data, "-l", self.directory / "log", "-w", "-t", "60", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; `immediate` is as a crash."""
        self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "-t", "60", "stop")

    @property
    def runs(self) -> bool:
        return (self._data / "postmaster.pid").exists()

    def url(self, database: str, user: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql://{user}@/{database}?host={self.directory}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Execute a statement as the superuser, and return its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, template: str = "template0") -> str:
        """Create a database, and return its name."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop_database(self, name: str) -> None:
        """Delete a database, whatever uses it."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _create(self) -> None:
        if user := _user():
            shutil.chown(self.directory, user)
        self.directory.chmod(0o755)
        locale = ("--locale=C.UTF-8", "--encoding=UTF8")
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", "postgres", "--no-sync", *locale)
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in _CONFIGURATION.items())
            file.write(f"unix_socket_directories = '{self.directory}'\n")

    def _run(self, program: str, *arguments: object) -> None:
        assert self._programs is not None, "install PostgreSQL"
        subprocess.run(
            [self._programs / program, *map(str, arguments)],
            check=True,
            user=_user(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )


def shared_server() -> PostgresqlServer:
    """Return the server of all workers, and start it if this is the first test that needs it."""
    directory = Path(os.environ[_VARIABLE])
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = PostgresqlServer(directory / "server")
        if not server.runs:
            server.directory.mkdir()
            server.start()
    return server


def begin_session() -> None:
    """Reserve the directory of the server, in the process that starts the workers."""
    if _VARIABLE not in os.environ:
        directory = Path(tempfile.mkdtemp(prefix="clusterm-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
        directory.chmod(0o755)
        os.environ[_VARIABLE] = str(directory)


def end_session() -> None:
    """Stop the server and delete its files."""
    directory = Path(os.environ.pop(_VARIABLE))
    server = PostgresqlServer(directory / "server")
    if server.runs:
        server.stop("immediate")
    deadline = time.monotonic() + 10
    while directory.exists() and time.monotonic() < deadline:  # a process of it may still write
        shutil.rmtree(directory, ignore_errors=True)
