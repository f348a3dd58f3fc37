"""Every database gets to the tables that the code has, and what cannot be used is refused in one line."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from support.databases import dump
from support.rows import read_timeline

from clusterm.errors import Conflict
from clusterm.monitoring.reports import report
from clusterm.nodes import changes as node_changes
from clusterm.nodes.selection import select
from clusterm.schemas import MonitoredNode, MonitorEvent, NodeSelection
from clusterm.settings import Settings
from clusterm.store import failures, migrations, nodes, runtime_values
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
    fresh.create()
    with fresh.connect() as connection, connection.begin():
        SQLModel.metadata.create_all(connection)
    fresh.close()
    assert describe(store.path) == describe(fresh.path)


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_database_of_any_revision_gets_there_and_keeps_its_rows(store: Store, revision: str, tmp_path: Path) -> None:
    config = alembic_config()
    store.create()
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


@contextmanager
def at_revision(store: Store, revision: str) -> Iterator[Connection]:
    """Create the database of a revision, and open a transaction in it."""
    config = alembic_config()
    store.create()
    with store.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        yield connection


def insert(connection: Connection, table: str, **given: object) -> None:
    """Insert a row with these values and, in all other columns, with a filler."""
    columns = list(connection.exec_driver_sql(f"PRAGMA table_info({table})"))
    values = tuple(given.get(name, FILLER.get(kind, "text")) for _, name, kind, *_ in columns)
    connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)


def test_renamed_columns_keep_their_values(store: Store) -> None:
    with at_revision(store, "0009") as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for table in dict.fromkeys(name for name, *_ in RENAMED):
            insert(connection, table, **{old: value for name, old, _, value in RENAMED if name == table})
    migrate(store)
    with store.connect() as connection:
        for table, _, column, value in RENAMED:
            assert connection.exec_driver_sql(f"SELECT {column} FROM {table}").scalar() == value


def test_host_vars_of_existing_nodes_are_secret_by_name_only(store: Store) -> None:
    with at_revision(store, "0010") as connection:
        insert(connection, "nodes")
    migrate(store)
    with store.connect() as connection:
        assert connection.exec_driver_sql("SELECT secret_vars FROM nodes").scalar() == "[]"


def test_results_of_nodes_become_outcomes(store: Store) -> None:
    """A node that passed in a job that failed is undone, unless nodes passed by themselves or in batches."""
    jobs = (
        ("Complete", 0, None, "passed"),
        ("Errored", 0, None, "undone"),
        ("Cancelled", 0, None, "undone"),
        ("Errored", 1, None, "passed"),
        ("Errored", 0, 2, "passed"),
    )
    with at_revision(store, "0013") as connection:
        for job_id, (status, partial_success, limit_batch, _) in enumerate(jobs):
            settings = {"partial_success": partial_success, "limit_batch": limit_batch}
            insert(connection, "jobs", id=job_id, end_order=job_id, status=status, **settings)
            for position, result in enumerate(("pass", "fail", None)):
                connection.exec_driver_sql(
                    "INSERT INTO job_nodes (job_id, position, node, held, result) VALUES (?, ?, ?, 0, ?)",
                    (job_id, position, f"node{position}", result),
                )
    migrate(store)
    with store.connect() as connection:
        found = connection.exec_driver_sql("SELECT outcome FROM job_nodes ORDER BY job_id, position").scalars().all()
    assert found == [outcome for _, _, _, passed in jobs for outcome in (passed, "failed", None)]


def test_failures_of_jobs_are_kept(store: Store) -> None:
    known = [
        {"node": "a-1", "step": "cleanup", "play": "all", "task": "Wipe", "message": "no\ndisk", "line": 7},
        {"node": "a-1", "step": "configure", "play": None, "task": None, "message": "no play", "line": None},
    ]
    with at_revision(store, "0014") as connection:
        for job_id, of_job in ((1, known), (2, [])):
            insert(connection, "jobs", id=job_id, end_order=job_id, failures=json.dumps(of_job))
    migrate(store)
    with store.read() as session:
        assert [failure.model_dump(mode="json") for failure in failures.of_job(session, 1)] == known
        assert failures.of_job(session, 2) == []


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


# Addresses in several spellings

NODES = {
    "upper-a": ("2001:DB8::77", "Discovered", "Allocated", {}),
    "zeros-a": ("2001:db8:0::77", "Discovered", "Unallocated", {}),
    "other-port-a": ("2001:db8::77", "Discovered", "Allocated", {"ansible_port": 2222}),
    "gone-a": ("2001:db8::0077", "Disappeared", "Allocated", {}),
    "mapped-a": ("::ffff:10.7.7.7", "Discovered", "Allocated", {}),
    "name-a": ("H1.example.org.", "Discovered", "Allocated", {}),
    "same-a": ("10.0.0.1", "Discovered", "Allocated", {"ansible_port": "{{ port }}"}),
    "odd-a": ("0x7f.1", "Discovered", "Allocated", {}),
}
"""By name: address as version 0.1.0 has accepted it, state, status and host vars."""

KEYS = {"2001:DB8::99": ["key 1", "key 2"], "2001:db8:0::99": ["key 2", "key 3"], "10.0.0.9": ["key 4"]}


@pytest.fixture
def spelled(store: Store) -> Store:
    """Return a database of revision 0010 with addresses in many spellings."""
    config = alembic_config()
    store.create()
    with store.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0010")
        for name, (address, state, status, host_vars) in NODES.items():
            label, _, serial = name.rpartition("-")
            values = (name, label, serial, address, status, status, state, state, "any", json.dumps(host_vars), '["k"]')
            connection.exec_driver_sql(
                "INSERT INTO nodes (name, label, serial, address, status, prev_status, state, prev_state, host_group, "
                f"inventory_vars, host_keys) VALUES ({', '.join('?' * len(values))})",
                values,
            )
        connection.exec_driver_sql("INSERT INTO settings (name, value) VALUES ('host_keys', ?)", (json.dumps(KEYS),))
        connection.exec_driver_sql(
            "INSERT INTO events (at, node, event, detail) "
            "VALUES ('2026-11-22 07:31:02.000000', 'name-a', 'discovered', 'at H1.example.org.')"
        )
    return store


def test_addresses_get_their_canonical_form_and_nothing_else_changes(spelled: Store) -> None:
    before = dump(spelled.path)
    assert migrate(spelled) == "0010"
    with spelled.read() as session:
        found = {node.name: node for node in nodes.list_all(session)}
        assert {name: node.address for name, node in found.items()} == {
            **dict.fromkeys(("upper-a", "zeros-a", "other-port-a", "gone-a"), "2001:db8::77"),
            "mapped-a": "10.7.7.7",
            "name-a": "h1.example.org",
            "same-a": "10.0.0.1",
            "odd-a": "0x7f.1",
        }
        for name, (_, state, status, host_vars) in NODES.items():
            assert (found[name].state, found[name].status, found[name].inventory_vars) == (state, status, host_vars)
        for text in ("::FFFF:10.7.7.7", "h1.Example.org", "0x7f.1", "[2001:db8::77]:2222"):
            assert nodes.get(session, text).state == "Discovered"
    assert [line.replace(");", ",'nodes',NULL);") for line in before if 'INTO "events"' in line] == [
        line for line in dump(spelled.path) if 'INTO "events"' in line and "changed" not in line
    ]


def test_nodes_that_have_the_same_address_by_now_are_kept_and_told_of(spelled: Store) -> None:
    migrate(spelled)
    with spelled.read() as session:
        shown = read_timeline(session)
        told = [(event.node, event.event, event.detail, event.changes) for event in shown]
        with pytest.raises(Conflict, match=r"several nodes have the address .*: upper-a .*, zeros-a"):
            nodes.get(session, "[2001:db8::77]:22")
    assert told[1:] == [
        (
            name,
            "changed",
            f"2001:db8::77 is also the address of {other}. Keep one of them: clusterctl node remove",
            {"address": [NODES[name][0], "2001:db8::77"]},
        )
        for name, other in (("upper-a", "zeros-a"), ("zeros-a", "upper-a"))
    ]
    # Both work on: a report about one of them is not a conflict with the other, and both can be removed.
    again = [MonitoredNode(label=label, serial="a", addr="2001:DB8::77") for label in ("upper", "zeros")]
    assert report(spelled, Settings(), MonitorEvent(name="discovered", nodes=again)) == (["upper-a", "zeros-a"], [])
    with spelled.read() as session:
        assert not select(["upper-a", "zeros-a"], NodeSelection(), nodes.candidates(session)).refusals
    node_changes.remove(spelled, "zeros-a", "ann", force=False)
    with spelled.read() as session:
        assert nodes.get(session, "[2001:DB8::77]:22").name == "upper-a"


def test_host_keys_of_several_spellings_are_all_trusted(spelled: Store) -> None:
    migrate(spelled)
    with spelled.read() as session:
        assert runtime_values.get(session, runtime_values.HOST_KEYS) == {
            "2001:db8::99": ["key 1", "key 2", "key 3"],
            "10.0.0.9": ["key 4"],
        }


def test_the_names_of_the_migrations_begin_with_their_revisions_in_order() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())

    assert {script.revision for script in scripts.walk_revisions()} == migrations._revisions()
    assert scripts.get_current_head() == max(migrations._revisions())
