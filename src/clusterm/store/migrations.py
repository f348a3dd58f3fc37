"""Migrates a database to the schema of this version."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

import clusterm
from clusterm.errors import StoreUnusable
from clusterm.store.engine import Store
from clusterm.store.error_translation import translate_errors
from clusterm.store.errors import StoreError, StoreUnavailable
from clusterm.store.migration_copy import keep_copy


def migrate(store: Store) -> str | None:
    """Create the database if it does not exist, and migrate it to the newest schema, after a copy of it was made.

    Returns:
        The revision before the migration, `empty` for a new database; None if the schema was the newest already.

    Raises:
        StoreUnusable: the database cannot be opened or copied, is damaged, or has the schema of a newer version.
    """
    config = alembic_config()
    newest = ScriptDirectory.from_config(config).get_current_head()
    try:
        store.create()
        with translate_errors(), store.connect() as connection, connection.begin():
            current = MigrationContext.configure(connection).get_current_revision()
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
            _upgrade(config, connection)
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
    newest = ScriptDirectory.from_config(alembic_config()).get_current_head()
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
        return MigrationContext.configure(connection).get_current_revision()


def is_known(revision: str) -> bool:
    """Return whether this version has a revision of the schema; if not, a newer version has written the database."""
    scripts = ScriptDirectory.from_config(alembic_config())
    return revision in {script.revision for script in scripts.walk_revisions()}


def alembic_config() -> Config:
    """Return the configuration of Alembic, which contains the directory of the migrations."""
    package = Path(clusterm.__file__).parent
    installed = package / "migrations"
    config = Config()
    config.set_main_option(
        "script_location", str(installed if installed.is_dir() else package.parents[1] / "migrations")
    )
    return config


def _upgrade(config: Config, connection: Connection) -> None:
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
