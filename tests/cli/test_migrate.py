"""The command clusterm migrate, and databases that it rejects."""

import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.databases import dump
from support.service import BIN, WAIT_TIMEOUT_S

from clusterm.store.engine import Store
from clusterm.store.migrations import migrate


def run(name: str, state_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "clusterm", name],
        env=os.environ
        | {"CLUSTERM_MANAGER__STATE_DIR": str(state_dir), "CLUSTERM_MANAGER__ADDR": "127.0.0.1:0"}
        | environment,
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_S,
        check=False,
    )


def test_the_command_migrates_once(tmp_path: Path) -> None:
    first, second = run("migrate", tmp_path), run("migrate", tmp_path)
    assert (first.returncode, first.stderr) == (second.returncode, second.stderr) == (0, "")
    assert first.stdout == f"{tmp_path / 'clusterm.db'}: migrated from empty\n"
    assert second.stdout == f"{tmp_path / 'clusterm.db'}: up to date\n"


def test_the_command_makes_the_directories_that_it_needs(tmp_path: Path) -> None:
    done = run("migrate", tmp_path / "not" / "there")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "not" / "there" / "clusterm.db").is_file()


def with_sql(*statements: str) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        connection = sqlite3.connect(file)
        with connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    return damage


def content(file: Path) -> bytes | None:
    """Return the file without SQLite's header, which counts the times that it was opened to write."""
    return file.read_bytes()[100:] if file.is_file() else None


def zero_the_middle(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[100 : len(content) - 100] = bytes(len(content) - 200)
    file.write_bytes(content)


NEWER = (with_sql("UPDATE alembic_version SET version_num = '9999'"), "was written by a newer clusterm")
NONE = (lambda file: file.write_bytes(b"This is no database. " * 1000), "is damaged")
SHORT = (lambda file: file.write_bytes(b"short"), "is damaged")
ZEROED = (zero_the_middle, "is damaged")
DIRECTORY = (lambda file: (file.unlink(), file.mkdir()), "cannot open the database")


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        *(("migrate", *case) for case in (NEWER, NONE, SHORT, ZEROED, DIRECTORY)),
        *(("serve", *case) for case in (NEWER, NONE)),
    ],
    ids=["newer", "none", "short", "zeroed", "directory", "newer, serve", "none, serve"],
)
def test_a_database_that_cannot_be_used_is_refused_in_one_line_and_stays_as_it_is(
    name: str, damage: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "clusterm.db"
    store = Store(f"sqlite:///{file}")
    migrate(store)
    store.close()
    damage(file)
    before = content(file)

    done = run(name, tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.endswith("\n")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("clusterm: ")
    assert reason in done.stderr
    assert str(file) in done.stderr
    assert content(file) == before


def test_a_database_of_another_program_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "clusterm.db"
    with_sql("CREATE TABLE nodes (other TEXT)", "INSERT INTO nodes VALUES ('theirs')")(file)
    before = dump(file)
    done = run("migrate", tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert dump(file) == before
