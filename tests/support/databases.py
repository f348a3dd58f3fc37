"""Reads database files without the code of the service."""

import sqlite3
from contextlib import closing
from pathlib import Path


def dump(path: Path) -> list[str]:
    """Return a database as SQL statements."""
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())
