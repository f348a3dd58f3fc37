"""Replaces the database by a backup, so that a crash at any moment leaves one of the two."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from clusterm.common.files import sync_directory
from clusterm.errors import StoreUnusable
from clusterm.store import sqlite
from clusterm.store.engine import Store
from clusterm.store.error_translation import translate_errors
from clusterm.store.errors import StoreError
from clusterm.store.migrations import is_known, revision


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
    if not is_known(found):
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
        # The name of the database decides which WAL SQLite uses.
        for file, kept_file in zip(sqlite.files(database), sqlite.files(kept), strict=True):
            if file.exists():
                file.rename(kept_file)
    copy.rename(database)
    sync_directory(database.parent)
    return kept


def discard(copy: Path) -> None:
    """Remove a prepared copy."""
    for file in sqlite.files(copy):
        file.unlink(missing_ok=True)
