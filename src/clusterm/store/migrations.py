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
from clusterm.store.errors import StoreError, StoreUnavailable, translate_errors
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
        store.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        store.create()
        with translate_errors(), store.connect() as connection, connection.begin():
            current = MigrationContext.configure(connection).get_current_revision()
            if current == newest:
                return None
            if current is not None and not is_known(current):
                raise StoreUnusable(
                    f"the database {store.path} was written by a newer clusterm (revision {current}): "
                    "install that version, or point store.url at another database"
                )
            if current is not None:
                keep_copy(store, current)
            _upgrade(config, connection)
            return current or "empty"
    except StoreError as error:
        raise StoreUnusable(_explain(store.path, error)) from error
    except OSError as error:
        raise StoreUnusable(f"cannot open the database {store.path}: {error.strerror}") from error


def check_current(store: Store) -> None:
    """Check that the database exists and has the newest schema.

    Raises:
        StoreUnusable: it does not exist, cannot be opened, is damaged, or has another schema.
    """
    if not store.path.exists():
        raise StoreUnusable(f"there is no database {store.path}: check store.url and manager.state_dir")
    newest = ScriptDirectory.from_config(alembic_config()).get_current_head()
    try:
        current = revision(store)
    except StoreError as error:
        raise StoreUnusable(_explain(store.path, error)) from error
    if current != newest:
        raise StoreUnusable(f"the database {store.path} is of another version: run clusterm migrate")


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


def _explain(path: Path, error: StoreError) -> str:
    if isinstance(error, StoreUnavailable):
        return (
            f"cannot open the database {path}: {error}; try again if another process holds it, else check its "
            "directory's permissions and free space"
        )
    return (
        f"the database {path} is damaged: {error}; restore a backup, or move the file away to start with an empty one"
    )
