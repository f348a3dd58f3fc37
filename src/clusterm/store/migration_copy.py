"""Keeps a copy of a SQLite database before a migration, with which the former version can be used again."""

import contextlib
import os
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Final

from clusterm.common.sizes import rounded_size
from clusterm.errors import StoreUnusable
from clusterm.store.engine import Store

_KEPT: Final = 2
"""Copies that are kept."""

_MIN_RESERVE_BYTES: Final = 16 * 1024**2
"""Minimum of the free space that must be left for the migration itself, which may write every page of the database."""


def copy_of(store: Store, revision: str) -> Path:
    """Return the file of the copy of a database whose schema has this revision."""
    return store.path.with_name(f"{store.path.name}.{revision}")


def kept_copy(store: Store, revision: str) -> Path | None:
    """Return the copy of a database from before its migration; None if there is none, as of one on a server."""
    copy = None if store.file is None else copy_of(store, revision)
    return copy if copy is not None and copy.exists() else None


def keep_copy(store: Store, revision: str) -> None:
    """Copy a database while it is locked for writers, readable only by its owner.

    Raises:
        StoreUnusable: there is too little space, or the copy cannot be written; the database has not changed.
    """
    copy = copy_of(store, revision)
    unfinished = copy.with_name(f"{copy.name}.new")
    try:
        with contextlib.closing(sqlite3.connect(store.path)) as source:
            ((pages,), (page_size,)) = (source.execute(f"PRAGMA page_{name}").fetchone() for name in ("count", "size"))
            size = pages * page_size
            needed, free = size + max(size, _MIN_RESERVE_BYTES), shutil.disk_usage(copy.parent).free
            if free < needed:
                raise StoreUnusable(
                    f"the database {store.path} needs a migration, and there is no room for a copy of it before: "
                    f"{rounded_size(needed)} are needed, and {rounded_size(free)} are free; nothing was changed"
                )
            os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
            with contextlib.closing(sqlite3.connect(unfinished)) as target:
                source.backup(target)
        _write_to_disk(unfinished)
        unfinished.rename(copy)
        _write_to_disk(copy.parent)
        _remove_old_copies(store)
    except (OSError, sqlite3.Error) as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise StoreUnusable(
            f"the database {store.path} needs a migration, and cannot be copied to {copy} before: {error}; nothing was "
            "changed"
        ) from error


def _remove_old_copies(store: Store) -> None:
    """Remove all copies but the latest ones."""
    pattern = re.compile(re.escape(store.path.name) + r"\.\d{4}")
    copies = [file for file in store.path.parent.iterdir() if pattern.fullmatch(file.name)]
    for file in sorted(copies, key=lambda file: file.stat().st_mtime_ns)[:-_KEPT]:
        file.unlink(missing_ok=True)


def _write_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
