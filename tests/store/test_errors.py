"""Errors of the database reach callers as store errors, which tell whether a retry may succeed."""

import contextlib
import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterm.store import engine, runtime_values
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError, StoreUnavailable
from clusterm.store.migrations import migrate


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0.05)
    with contextlib.closing(Store(f"sqlite:///{tmp_path / 'clusterm.db'}")) as store:
        migrate(store)
        yield store


def test_a_locked_database_is_unavailable_and_can_be_used_later(store: Store) -> None:
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable) as refused, store.write() as session:
            runtime_values.put(session, "secret", {"password": "canary"})
        assert str(refused.value) == "database is locked", "neither the statement nor its values"
        with pytest.raises(StoreUnavailable, match="database is locked"):
            store.check_writable()
        with pytest.raises(StoreUnavailable, match="database is locked"):
            store.scrub()
        with store.read() as session:
            assert runtime_values.get(session, "secret") == {}
        other.execute("ROLLBACK")
    store.check_writable()


def test_a_full_disk_makes_the_database_unavailable_and_changes_nothing(store: Store) -> None:
    with store.read() as session:
        raw = session.connection().connection.driver_connection
        assert raw is not None
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
        raw.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="database or disk is full"), store.write() as session:
        for number in range(100):
            runtime_values.put(session, f"value {number}", {"text": "x" * 10_000})
    with store.read() as session:
        assert runtime_values.get(session, "value 0") == {}


def test_a_connection_that_can_only_read_is_replaced(store: Store) -> None:
    """SQLite opens a file for reading only if it cannot open it for writing, and a pool would keep the connection."""
    with store.read() as session:
        raw = session.connection().connection.driver_connection
        assert raw is not None
        raw.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailable, match="attempt to write a readonly database"), store.write() as session:
        runtime_values.put(session, "value", {"a": 1})
    with store.write() as session:
        runtime_values.put(session, "value", {"a": 1})


def test_writing_is_tested_for_real_when_it_has_failed(store: Store) -> None:
    """A full disk refuses no lock: only what is written tells."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    store.check_writable()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        with pytest.raises(StoreUnavailable), store.write() as session:
            runtime_values.put(session, "value", {"a": 1})
        with pytest.raises(StoreUnavailable):
            store.check_writable()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    store.check_writable()


def test_writing_is_tested_from_time_to_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    wal = store.path.with_name(f"{store.path.name}-wal")

    def written() -> int:
        before = wal.stat().st_size
        store.check_writable()
        return wal.stat().st_size - before

    assert [written() > 0 for _ in range(3)] == [True, False, False]
    monkeypatch.setattr(engine, "_TEST_WRITE_INTERVAL_S", 0)
    assert written() > 0


def test_too_many_transactions_at_once_are_told_apart_from_a_defect(store: Store) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(15):
            stack.enter_context(store.read()).connection()
        store._engine.pool._timeout = 0.01  # type: ignore[attr-defined]
        message = "all connections to the database are in use"
        with pytest.raises(StoreUnavailable, match=message), store.read() as session:
            session.connection()


def test_a_damaged_database_is_an_error_that_no_retry_resolves(store: Store) -> None:
    store.close()
    with store.path.open("r+b") as file:
        file.write(b"no SQLite file at all")
    store.path.with_name(f"{store.path.name}-wal").unlink(missing_ok=True)
    for use in (store.check_writable, store.reclaim_space):
        with pytest.raises(StoreError, match="not a database") as damaged:
            use()
        assert not isinstance(damaged.value, StoreUnavailable)


def test_other_exceptions_pass_and_roll_back(store: Store) -> None:
    with pytest.raises(KeyError), store.write() as session:
        runtime_values.put(session, "value", {"a": 1})
        raise KeyError
    with store.read() as session:
        assert runtime_values.get(session, "value") == {}
