"""Database files: an empty one to begin with, and their contents, read without the code of the service."""

import atexit
import os
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from clusterm.store.engine import Store
from clusterm.store.migrations import migrate


def dump(path: Path) -> list[str]:
    """Return a database as SQL statements."""
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@cache
def empty_database() -> Path:
    """Return the file of an empty migrated database, to copy: migrations take longer than most tests."""
    directory = TemporaryDirectory(prefix="migrated", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
    atexit.register(directory.cleanup)
    file = Path(directory.name) / "clusterm.db"
    store = Store(f"sqlite:///{file}")
    migrate(store)
    store.close()
    return file
