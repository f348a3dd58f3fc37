"""Every database gets to the tables that the code has, and what cannot be used is refused in one line."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from support.databases import dump

from clusterm.store.engine import Store
from clusterm.store.migrations import alembic_config, migrate
from clusterm.store.tables import SQLModel

REVISIONS = [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()]
"""All of them, the newest first."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'clusterm.db'}")
    yield store
    store.close()


def describe(path: Path) -> dict[str, object]:
    """Return what SQLite says of every table: columns, foreign keys, indexes, and what only its SQL tells."""
    connection = sqlite3.connect(path)
    try:
        tables = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
        tables = {name: sql for name, sql in tables.items() if not name.startswith(("sqlite_", "alembic_"))}
        return {
            name: {
                "columns": sorted(row[1:] for row in connection.execute(f"PRAGMA table_xinfo({name})")),
                "foreign keys": sorted(row[2:] for row in connection.execute(f"PRAGMA foreign_key_list({name})")),
                "indexes": sorted(
                    " ".join(row[0].split())
                    for row in connection.execute(
                        "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql NOT NULL", (name,)
                    )
                ),
                "autoincrement": "AUTOINCREMENT" in sql,
                "without rowid": "WITHOUT ROWID" in sql,
            }
            for name, sql in tables.items()
        }
    finally:
        connection.close()


# From any revision to the newest


def test_an_empty_database_gets_the_tables_of_the_code(store: Store) -> None:
    assert migrate(store) == "empty"
    with store.connect() as connection:
        context = MigrationContext.configure(connection, opts={"render_as_batch": True, "compare_type": True})
        assert context.get_current_revision() == REVISIONS[0]
        assert compare_metadata(context, SQLModel.metadata) == []


def test_a_migrated_database_is_what_the_code_would_create(store: Store, tmp_path: Path) -> None:
    migrate(store)
    fresh = Store(f"sqlite:///{tmp_path / 'fresh.db'}")
    with fresh.connect() as connection, connection.begin():
        SQLModel.metadata.create_all(connection)
    fresh.close()
    assert describe(store.path) == describe(fresh.path)


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_database_of_any_revision_gets_there_and_keeps_its_rows(store: Store, revision: str, tmp_path: Path) -> None:
    config = alembic_config()
    with store.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.exec_driver_sql("INSERT INTO settings (name, value) VALUES ('globals', '{\"a\": 1}')")
    migrate(store)
    newest = Store(f"sqlite:///{tmp_path / 'newest.db'}")
    migrate(newest)
    newest.close()
    assert describe(store.path) == describe(newest.path)
    with store.connect() as connection:
        assert connection.exec_driver_sql("SELECT value FROM settings").scalar() == '{"a": 1}'


RENAMED = (
    ("events", "news", "is_reachability", 1),
    ("job_steps", "unclaimed", "first_unattributed_line", 41),
    ("jobs", "head_end", "truncated_at", 7),
    ("jobs", "sealed", "encrypted", "secret of a job"),
    ("nodes", "sealed", "encrypted", "secret of a node"),
    ("settings", "sealed", "encrypted", "secret of the globals"),
)
FILLER = {"INTEGER": 1, "BOOLEAN": 1, "FLOAT": 1.0, "DATETIME": "2026-11-22 07:31:02.000000", "JSON": "{}"}


def test_renamed_columns_keep_their_values(store: Store) -> None:
    config = alembic_config()
    with store.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0009")
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for table in dict.fromkeys(name for name, *_ in RENAMED):
            kept = {old: value for name, old, _, value in RENAMED if name == table}
            columns = [(row[1], row[2]) for row in connection.exec_driver_sql(f"PRAGMA table_info({table})")]
            values = [kept.get(column, FILLER.get(kind, "text")) for column, kind in columns]
            places = ", ".join("?" * len(values))
            connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({places})", tuple(values))
    migrate(store)
    with store.connect() as connection:
        for table, _, column, value in RENAMED:
            assert connection.exec_driver_sql(f"SELECT {column} FROM {table}").scalar() == value


def test_host_vars_of_existing_nodes_are_secret_by_name_only(store: Store) -> None:
    config = alembic_config()
    with store.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0010")
        columns = list(connection.exec_driver_sql("PRAGMA table_info(nodes)"))
        values = tuple(FILLER.get(kind, "text") for _, _, kind, *_ in columns)
        connection.exec_driver_sql(f"INSERT INTO nodes VALUES ({', '.join('?' * len(values))})", values)
    migrate(store)
    with store.connect() as connection:
        assert connection.exec_driver_sql("SELECT secret_vars FROM nodes").scalar() == "[]"


def test_migrating_twice_changes_nothing(store: Store) -> None:
    migrate(store)
    before = dump(store.path)
    assert migrate(store) is None
    assert dump(store.path) == before


def test_every_revision_follows_another() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert scripts.get_heads() == REVISIONS[:1]
    assert scripts.get_bases() == REVISIONS[-1:]


def test_a_migration_that_stops_half_way_leaves_nothing(store: Store, tmp_path: Path) -> None:
    """As SQLite's DDL is transactional, the next start finds the database as it was."""
    migrate(store)
    store.close()
    copy = tmp_path / "scripts"
    shutil.copytree(alembic_config().get_main_option("script_location") or "", copy)
    (copy / "versions" / "half.py").write_text(
        "from alembic import op\n"
        f"revision, down_revision, branch_labels, depends_on = 'half', '{REVISIONS[0]}', None, None\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE half (a TEXT)')\n"
        "    op.execute('CREATE TABLE nodes (a TEXT)')\n"
    )
    before = dump(store.path)
    config = alembic_config()
    config.set_main_option("script_location", str(copy))
    with pytest.raises(Exception, match="already exists"), store.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    assert dump(store.path) == before
