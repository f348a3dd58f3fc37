"""Replaces the database by a backup, so that a crash at any moment leaves one of the two."""

import os
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from alembic.script import ScriptDirectory

from clusterm.errors import StoreUnusable
from clusterm.store import sqlite
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError, translate_errors
from clusterm.store.migrations import alembic_config, revision

_SIDE_FILES: Final = ("-wal", "-shm")


def prepare(backup: Path, database: Path) -> Path:
    """Copy a backup to a new file beside the database, and check the copy.

    The backup may have side files of its own, as a copy of a whole state directory has.

    Returns:
        The copy, which is complete on the disk.

    Raises:
        StoreUnusable: the backup is no database of clusterm, is damaged, or is of a newer version.
        OSError: there is no such file, or the copy cannot be written.
    """
    with backup.open("rb"):
        pass  # SQLite's message for a missing file is the same as for one that it cannot read
    copy = database.with_name(f"{database.name}.restoring")
    discard(copy)
    sqlite.create(copy)
    try:
        with translate_errors():
            sqlite.copy(backup, copy)
        problem = _problem(copy)
    except StoreError as error:
        problem = f"cannot be used: {error}"
    if problem:
        discard(copy)
        raise StoreUnusable(f"the backup {backup} {problem}")
    return copy


def _problem(copy: Path) -> str | None:
    """Return why a database cannot be used; None if it can."""
    with translate_errors():
        if damage := sqlite.problems(copy):
            return f"is damaged: {damage[0]}"
    with closing(Store(f"sqlite:///{copy}")) as store:
        found = revision(store)
    if found is None:
        return "is no database of clusterm"
    if found not in {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}:
        return f"was written by a newer clusterm (revision {found})"
    return None


def replace(database: Path, copy: Path) -> Path | None:
    """Put a prepared copy in the place of the database, which is kept under another name.

    Until the copy has its name, there is no database, and the service refuses to start.

    Returns:
        The file that the former database is kept in; None if there was none.

    Raises:
        OSError: a file cannot be renamed.
    """
    kept: Path | None = None
    if database.exists():
        kept = database.with_name(f"{database.name}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        for suffix in ("", *_SIDE_FILES):  # the name of the database decides which side files SQLite uses
            file = database.with_name(database.name + suffix)
            if file.exists():
                file.rename(kept.with_name(kept.name + suffix))
    copy.rename(database)
    directory = os.open(database.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return kept


def discard(copy: Path) -> None:
    """Remove a prepared copy."""
    for suffix in ("", *_SIDE_FILES):
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)
