"""Migrates a database to the schema of this version.

Alembic is loaded only for a migration: it and the migrations take longer to load than the check whether one is due.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

import clusterm
from clusterm.errors import StoreUnusable
from clusterm.store.engine import Store
from clusterm.store.error_translation import translate_errors
from clusterm.store.errors import StoreError, StoreUnavailable
from clusterm.store.migration_copy import keep_copy

if TYPE_CHECKING:
    from alembic.config import Config


def migrate(store: Store) -> str | None:
    """Create the database if it does not exist, and migrate it to the newest schema, after a copy of it was made.

    Returns:
        The revision before the migration, `empty` for a new database; None if the schema was the newest already.

    Raises:
        StoreUnusable: the database cannot be opened or copied, is damaged, or has the schema of a newer version.
    """
    newest = max(_revisions())
    try:
        store.create()
        with translate_errors(), store.connect() as connection, connection.begin():
            current = _revision(connection)
            if current == newest:
                return None
            if current is not None and not is_known(current):
                raise StoreUnusable(
                    f"the database {store.name} was written by a newer clusterm (revision {current}): "
                    "install that version, or point store.url at another database"
                )
            if current is not None and store.file is not None:
                keep_copy(store, current)
            store.begin_migration(connection)
            _upgrade(connection)
            return current or "empty"
    except StoreError as error:
        raise StoreUnusable(_explain(store, error)) from error
    except OSError as error:
        raise StoreUnusable(f"cannot open the database {store.name}: {error.strerror}") from error


def check_current(store: Store) -> None:
    """Check that the database exists and has the newest schema.

    Raises:
        StoreUnusable: it does not exist, cannot be opened, is damaged, or has another schema.
    """
    if store.file is not None and not store.file.exists():
        raise StoreUnusable(f"there is no database {store.name}: check store.url and manager.state_dir")
    newest = max(_revisions())
    try:
        current = revision(store)
    except StoreError as error:
        raise StoreUnusable(_explain(store, error)) from error
    if current is None and store.file is None:
        raise StoreUnusable(
            f"the database {store.name} has no tables of clusterm: check store.url, or run clusterm migrate"
        )
    if current != newest:
        raise StoreUnusable(f"the database {store.name} is of another version: run clusterm migrate")


def has_tables(store: Store) -> bool:
    """Return whether a database exists and has tables of clusterm.

    Raises:
        StoreUnusable: it cannot be used.
    """
    if store.file is not None:
        return store.file.exists()
    try:
        return revision(store) is not None
    except StoreError as error:
        raise StoreUnusable(_explain(store, error)) from error


def revision(store: Store) -> str | None:
    """Return the revision of a database's schema; None if it has none of clusterm.

    Raises:
        StoreError: the database cannot be read.
    """
    with translate_errors(), store.connect() as connection, connection.begin():
        return _revision(connection)


def is_known(revision: str) -> bool:
    """Return whether this version has a revision of the schema; if not, a newer version has written the database."""
    return revision in _revisions()


def alembic_config() -> Config:
    """Return the configuration of Alembic, which contains the directory of the migrations."""
    from alembic.config import Config  # noqa: PLC0415 -- see above

    config = Config()
    config.set_main_option("script_location", str(_directory()))
    return config


def _directory() -> Path:
    package = Path(clusterm.__file__).parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parents[1] / "migrations"


def _revisions() -> set[str]:
    """Return the revisions of the schema, with which the names of the migrations begin, in their order."""
    return {file.name.partition("_")[0] for file in (_directory() / "versions").glob("[0-9]*_*.py")}


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 -- see above

    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _explain(store: Store, error: StoreError) -> str:
    if store.file is None:
        return (
            f"cannot use the database {store.name}: {error}; check that its server runs and is writable, and the host, "
            "user, password and database of store.url"
        )
    if isinstance(error, StoreUnavailable):
        return (
            f"cannot open the database {store.name}: {error}; try again if another process holds it, else check its "
            "directory's permissions and free space"
        )
    return (
        f"the database {store.name} is damaged: {error}; restore a backup, or move the file away to start with an "
        "empty one"
    )
