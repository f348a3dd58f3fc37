"""Where PostgreSQL would behave in another way than SQLite, and how its errors are told."""

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from support.postgresql import PostgresqlServer, needs_postgresql
from support.rows import add_logged_job, add_node_row, add_plain_job

from clusterm.enums import Action, JobStatus, StepName, TokenRole
from clusterm.errors import StoreUnusable
from clusterm.store import jobs as job_queries
from clusterm.store import log_lines, log_reader, nodes, runtime_values, tables, tokens
from clusterm.store import postgresql as postgresql_module
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError, StoreUnavailable
from clusterm.store.log_query import LogQuery
from clusterm.store.migrations import alembic_config, check_current, migrate
from clusterm.store.session import Session
from clusterm.store.tables import SQLModel

pytestmark = needs_postgresql

NOW = datetime(2026, 11, 22, 7, 31, 2, 123456, tzinfo=UTC)


@pytest.fixture
def url(postgresql: PostgresqlServer, migrated_template: str) -> Iterator[str]:
    name = postgresql.create_database(migrated_template)
    yield postgresql.url(name)
    postgresql.drop_database(name)


@pytest.fixture
def empty(postgresql: PostgresqlServer) -> Iterator[str]:
    name = postgresql.create_database()
    yield name
    postgresql.drop_database(name)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with contextlib.closing(Store(url)) as store:
        yield store


def name_of(store: Store) -> str:
    return store.name.rpartition("/")[2]


# Tables


def test_migrations_lead_to_the_tables_of_the_code(store: Store) -> None:
    assert migrate(store) is None
    check_current(store)
    with store.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_each_migrated_table_has_the_definition_of_the_code(
    store: Store, empty: str, postgresql: PostgresqlServer
) -> None:
    """The conditions of indexes and the order of texts are not in what Alembic compares."""
    with contextlib.closing(Store(postgresql.url(empty))) as fresh, fresh.connect() as connection, connection.begin():
        SQLModel.metadata.create_all(connection)
    columns = (
        "SELECT table_name, column_name, data_type, collation_name, is_nullable FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2"
    )
    indexes = (
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1"
    )
    for query in (columns, indexes):
        assert postgresql.execute(query, name_of(store)) == postgresql.execute(query, empty)


def test_rows_of_the_first_version_are_migrated(empty: str, postgresql: PostgresqlServer) -> None:
    config = alembic_config()
    with contextlib.closing(Store(postgresql.url(empty))) as store:
        with store.connect() as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "0014")
            connection.exec_driver_sql(
                "INSERT INTO jobs (action, status, error, host_group, extra_vars, requested_by, created_at, "
                "started_at, finished_at, stop_cleanup, lines, bytes, omitted, incomplete, recap, failures, end_order) "
                "VALUES "
                "('update', 'Errored', 'e', '', '{}', 'a', '2026-01-01 00:00Z', '2026-01-01 00:01Z', "
                "'2026-01-01 00:03:30Z', true, 0, 0, 0, false, '{}', "
                """'[{"node": "a-1", "step": "configure", "play": null, "task": "t", "message": "m", "line": 3}]', 1)"""
            )
        assert migrate(store) == "0014"
        with store.read() as session:
            job = job_queries.get(session, 1)
            assert (job.waited, job.seconds) == (60, 150)
            (failure,) = session.execute(text("SELECT node, message, line FROM job_failures")).all()
            assert tuple(failure) == ("a-1", "m", 3)


def test_a_failed_migration_changes_nothing(empty: str, postgresql: PostgresqlServer) -> None:
    config = alembic_config()
    with contextlib.closing(Store(postgresql.url(empty))) as store:
        with store.connect() as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "0005")
            connection.exec_driver_sql("CREATE TABLE tokens (id int)")  # 0007 creates it
        with pytest.raises(Exception, match="already exists"):
            migrate(store)
    assert postgresql.execute("SELECT version_num FROM alembic_version", empty) == [("0005",)]


def test_a_name_can_be_used_again_once_its_row_is_out_of_the_partial_index(store: Store) -> None:
    for held in (True, False, True):
        job_id = add_plain_job(store, "a-1", status=JobStatus.RUNNING)
        with store.write() as session:
            session.execute(text("UPDATE job_nodes SET held = false"))
            session.get_one(tables.JobNode, (job_id, 1)).held = held
    with store.write() as session:
        tokens.add(session, "t", TokenRole.ADMIN, "d1", NOW, None)
        session.execute(text("UPDATE tokens SET revoked_at = now()"))
        tokens.add(session, "t", TokenRole.ADMIN, "d2", NOW, None)


# Values


def test_numbers_have_64_bits(store: Store) -> None:
    size = 3 * 2**31
    job_id = add_logged_job(store, 1, bytes=size)
    with store.write() as session:
        session.add(tables.JobStep(job_id=job_id, number=1, name=StepName.CONFIGURE, playbook="p", offset=size))
        session.execute(text("SELECT setval('events_id_seq', :last)"), {"last": size})
    with store.read() as session:
        assert job_queries.get(session, job_id).bytes == size
        assert job_queries.step(session, job_id, 1).offset == size
        assert session.scalar(text("SELECT sum(bytes) FROM jobs")) == size, "a number for JSON, no decimal"


@pytest.mark.parametrize("hours", [-11, 0, 2])
def test_times_keep_their_moment_whatever_the_time_zone_of_the_server(store: Store, hours: int) -> None:
    moment = NOW.astimezone(timezone(timedelta(hours=hours)))
    job_id = add_logged_job(store, 0, created_at=moment)
    with store.read() as session:
        found = job_queries.get(session, job_id).created_at
        assert (found, found.utcoffset()) == (NOW, timedelta(0))


def test_nul_and_half_characters_break_no_row(store: Store) -> None:
    """The server takes no NUL in a text, and finds no member of a JSON document with one."""
    add_node_row(store, "a-1")
    with store.write() as session:
        nodes.get(session, "a-1").inventory_vars = {
            "x": "a\0b\ud800",
            "y": ["\\u0000", {"\0": 1}],
            "ansible_port": 2022,
        }
        job = add_line(session, "a\0b \\ 'é\\101")
    with store.read() as session:
        (candidate,) = nodes.candidates(session)
        assert candidate.port == 2022
        found = nodes.get(session, "a-1").inventory_vars
        assert found == {"x": "a\\x00b\\ud800", "y": ["\\u0000", {"\\x00": 1}], "ansible_port": 2022}
        row = job_queries.get(session, job)
        assert [line.text for line in log_reader.read(session, row, LogQuery(), 1).rows] == ["a\\x00b \\ 'é\\101"]


def add_line(session: Session, line: str) -> int:
    fixed: dict[str, Any] = {"host_group": "", "extra_vars": {}, "requested_by": "a", "created_at": NOW}
    job = tables.Job(action=Action.UPDATE, status=JobStatus.RUNNING, **fixed)
    session.add(job)
    session.flush()
    row = {"job_id": job.id, "seq": 1, "at": NOW, "text": line, "partial": False, "task": None, "node": None}
    log_lines.append(session, [row])
    log_lines.count(session, job, [row], 10**6)
    return job.id


def test_lengths_are_those_of_utf_8_and_backslashes_are_no_escapes(store: Store) -> None:
    with store.write() as session:
        job = job_queries.get(session, add_line(session, "é" * 100))
        for seq in range(2, 6):
            row = {"job_id": job.id, "seq": seq, "at": NOW, "text": "\\é" * 50, "partial": False}
            log_lines.append(session, [row | {"task": None, "node": None}])
            log_lines.count(session, job, [row], 10**6)
        log_lines.leave_out(session, job, 450)
        assert job.omitted, "some lines were left out"
        texts = session.scalars(text("SELECT text FROM log_lines")).all()
        assert job.bytes == sum(len(each.encode()) + 1 for each in texts)


def test_only_ascii_letters_ignore_their_case_and_no_character_is_a_wildcard(store: Store) -> None:
    with store.write() as session:
        job_id = add_line(session, "ÄB 100% a_c")

    def found(grep: str, *, ignore_case: bool) -> bool:
        with store.read() as session:
            query = LogQuery(grep=grep, ignore_case=ignore_case)
            return bool(log_reader.read(session, job_queries.get(session, job_id), query, 1).rows)

    assert found("Äb", ignore_case=True)
    assert not found("äb", ignore_case=True), "as with SQLite"
    assert not found("b", ignore_case=False)
    assert found("0% A_", ignore_case=True)
    assert not found("1%0", ignore_case=True)
    assert not found("abc", ignore_case=True)


def test_names_are_in_the_order_of_their_bytes(store: Store) -> None:
    names = ["B-1", "Z-1", "_-1", "a-1", "a-10", "a-2", "ä-1"]
    for name in reversed(names):
        add_node_row(store, name)
    with store.read() as session:
        assert [node.name for node in nodes.list_all(session)] == names


# Transactions


def test_ids_are_in_the_order_of_commits_and_no_increment_is_lost(store: Store) -> None:
    """A reader that has seen an id has seen all before it."""
    rounds = 15

    def write() -> None:
        for _ in range(rounds):
            with store.write() as session:
                count = runtime_values.get(session, "count").get("n", 0)
                runtime_values.put(session, "count", {"n": count + 1})
                session.execute(text("INSERT INTO events (at, event) VALUES (now(), 'changed')"))

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    seen: list[int] = []
    while any(writer.is_alive() for writer in writers):
        with store.read() as session:
            after = {"after": seen[-1] if seen else 0}
            seen += session.scalars(text("SELECT id FROM events WHERE id > :after ORDER BY id"), after).all()
    for writer in writers:
        writer.join()
    with store.read() as session:
        seen += session.scalars(text("SELECT id FROM events WHERE id > :after ORDER BY id"), {"after": seen[-1]}).all()
        assert runtime_values.get(session, "count") == {"n": 4 * rounds}
        assert seen == session.scalars(text("SELECT id FROM events ORDER BY id")).all()
    assert len(seen) == 4 * rounds


def test_a_read_changes_nothing(store: Store) -> None:
    with pytest.raises(StoreUnavailable, match="read-only transaction"), store.read() as session:
        session.execute(text("DELETE FROM settings"))


def test_two_schemas_of_one_server_do_not_wait_for_each_other(
    store: Store, url: str, postgresql: PostgresqlServer
) -> None:
    postgresql.execute("CREATE SCHEMA second", name_of(store))
    postgresql.execute("CREATE ROLE second LOGIN SUPERUSER")
    try:
        postgresql.execute("ALTER ROLE second SET search_path = second")
        with contextlib.closing(Store(url.replace("postgres@", "second@"))) as second:
            migrate(second)
            with store.write(), second.write() as session:
                runtime_values.put(session, "a", {})
    finally:
        postgresql.drop_database(name_of(store))
        postgresql.execute("DROP ROLE second")


# Errors


def test_a_held_lock_is_reported_as_passing(store: Store, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgresql_module._OPTIONS, "lock_timeout", "50ms")
    with contextlib.closing(Store(url)) as other, store.write() as holder:
        holder.connection()
        with pytest.raises(StoreUnavailable, match="lock timeout"), other.write() as session:
            session.connection()


@pytest.mark.parametrize(
    "state", ["08006", "40001", "40P01", "53100", "57P01", "57P03", "25006", "25P03", "55P03", "58030"]
)
def test_errors_that_pass_are_told_by_their_code(store: Store, state: str) -> None:
    with pytest.raises(StoreUnavailable), store.write() as session:
        session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'told' USING ERRCODE = '{state}'; END $$"))


@pytest.mark.parametrize("state", ["23505", "42P01", "22012"])
def test_other_errors_do_not_pass(store: Store, state: str) -> None:
    with pytest.raises(StoreError) as raised, store.write() as session:
        session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'told' USING ERRCODE = '{state}'; END $$"))
    assert not isinstance(raised.value, StoreUnavailable)


def test_no_error_contains_values(store: Store) -> None:
    with store.write() as session:
        tokens.add(session, "t", TokenRole.ADMIN, "secret-digest", NOW, None)
    with pytest.raises(StoreError) as raised, store.write() as session:
        tokens.add(session, "u", TokenRole.ADMIN, "secret-digest", NOW, None)
    assert str(raised.value) == 'duplicate key value violates unique constraint "tokens_digest_key"'
    with pytest.raises(StoreError) as raised, store.write() as session:
        session.execute(text("SELECT CAST(:value AS integer)"), {"value": "secret-digest"})
    assert "secret" not in str(raised.value)


def test_connections_that_the_server_has_ended_are_replaced(store: Store, postgresql: PostgresqlServer) -> None:
    with store.read(), store.read():
        pass
    postgresql.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name_of(store)}'")
    with store.write() as session:
        runtime_values.put(session, "a", {})
    with pytest.raises(StoreUnavailable), store.write() as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        postgresql.execute(f"SELECT pg_terminate_backend({pid})")
        runtime_values.put(session, "a", {"b": 1})
        session.flush()
    with store.read() as session:
        assert runtime_values.get(session, "a") == {}, "the rest of the transaction is undone"


# What cannot be used


def refusal(url: str) -> str:
    with contextlib.closing(Store(url)) as store, pytest.raises(StoreUnusable) as raised:
        migrate(store)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_each_obstacle_at_the_start_is_one_line_without_the_password(empty: str, postgresql: PostgresqlServer) -> None:
    host = f"host={postgresql.directory}"
    unknown = refusal(f"postgresql://postgres:pass-word@/nowhere?{host}")
    assert 'database "nowhere" does not exist' in unknown
    assert "store.url" in unknown
    refused = refusal(f"postgresql://postgres:pass-word@/{empty}?{host}&port=1")
    assert "cannot use the database postgresql://postgres@/" in refused
    wrong_user = refusal(f"postgresql://no-such-user:pass-word@/{empty}?{host}")
    assert 'role "no-such-user" does not exist' in wrong_user
    for line in (unknown, refused, wrong_user):
        assert "pass-word" not in line


def test_a_read_only_server_is_refused(empty: str, postgresql: PostgresqlServer) -> None:
    postgresql.execute(f"ALTER DATABASE {empty} SET default_transaction_read_only = on")
    assert "read-only" in refusal(postgresql.url(empty))


def test_tables_of_another_program_are_refused(empty: str, postgresql: PostgresqlServer) -> None:
    postgresql.execute("CREATE TABLE invoices (id int)", empty)
    assert "tables of another program" in refusal(postgresql.url(empty))
    assert postgresql.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", empty) == [("invoices",)]


def test_another_encoding_is_refused(postgresql: PostgresqlServer) -> None:
    postgresql.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        assert "has the encoding LATIN1" in refusal(postgresql.url("latin"))
    finally:
        postgresql.drop_database("latin")


def test_a_database_without_tables_is_no_database_of_clusterm(empty: str, postgresql: PostgresqlServer) -> None:
    with contextlib.closing(Store(postgresql.url(empty))) as store, pytest.raises(StoreUnusable, match="no tables"):
        check_current(store)
