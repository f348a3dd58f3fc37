"""The copy of a database from before a migration."""

import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from alembic import command
from support.databases import dump

from clusterm.errors import StoreUnusable
from clusterm.store import migration_copy
from clusterm.store.engine import Store
from clusterm.store.migrations import alembic_config, migrate

OLD = "0012"
FULL = SimpleNamespace(total=10**9, used=10**9 - 10**6, free=10**6)


@pytest.fixture
def old(tmp_path: Path) -> Store:
    """A database of an earlier version, with a row."""
    store = Store(f"sqlite:///{tmp_path / 'clusterm.db'}")
    store.create()
    config = alembic_config()
    with store.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, OLD)
    raw = sqlite3.connect(store.path)
    with raw:
        raw.execute("INSERT INTO settings (name, value) VALUES ('globals', '{\"a\": 1}')")
    raw.close()
    return store


def files(store: Store) -> list[str]:
    return sorted(file.name for file in store.path.parent.iterdir() if not file.name.endswith(("-wal", "-shm")))


def test_a_migration_keeps_what_was_there(old: Store) -> None:
    before = dump(old.path)
    assert migrate(old) == OLD
    copy = migration_copy.copy_of(old, OLD)
    assert files(old) == ["clusterm.db", f"clusterm.db.{OLD}"]
    assert dump(copy) == before
    assert copy.stat().st_mode & 0o777 == 0o600
    assert migrate(old) is None
    assert files(old) == ["clusterm.db", f"clusterm.db.{OLD}"]


def test_the_latest_two_are_kept(old: Store) -> None:
    for number, name in enumerate(("0009", "0011", "0010")):
        file = old.path.with_name(f"clusterm.db.{name}")
        file.touch()
        os.utime(file, (number, number))
    (old.path.parent / "clusterm.db.before-restore").touch()
    migrate(old)
    assert files(old) == ["clusterm.db", "clusterm.db.0010", f"clusterm.db.{OLD}", "clusterm.db.before-restore"]


def test_a_new_database_is_not_copied(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'clusterm.db'}")
    migrate(store)
    assert files(store) == ["clusterm.db"]


@pytest.mark.parametrize("obstacle", ["no room", "a directory in its way", "a directory in its place"])
def test_without_a_copy_nothing_is_changed(old: Store, obstacle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if obstacle == "no room":
        monkeypatch.setattr("shutil.disk_usage", lambda _: FULL)
    elif obstacle == "a directory in its way":
        (old.path.parent / f"clusterm.db.{OLD}.new").mkdir()
    else:
        (old.path.parent / f"clusterm.db.{OLD}").mkdir()
    before = dump(old.path)
    with pytest.raises(StoreUnusable, match=r"needs a migration, and .* nothing was changed$"):
        migrate(old)
    assert dump(old.path) == before
