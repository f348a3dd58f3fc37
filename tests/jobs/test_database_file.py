"""The file of the database: who may open it, and what happens if it is moved, replaced, lost or restored."""

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.programs import COUNTING, SCRIPTED
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm, is_alive, kill_all, wait_for


@pytest.fixture
def counting(new_clusterm: Clusterm) -> Clusterm:
    """A clusterm with two nodes, and a job that counts on the first one."""
    new_clusterm.use_program(COUNTING)
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1", "a-2")
    job = clusterm.begin("decommission", ["a-1"])
    wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"] > 10, "the first lines")
    return clusterm


def command(clusterm: Clusterm, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command of clusterm with the service's configuration."""
    return subprocess.run(
        [BIN / "clusterm", *arguments, "--config", clusterm.root / "clusterm.json"],
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_S,
        check=False,
    )


def back_up(clusterm: Clusterm, name: str = "backup.db") -> Path:
    backup = clusterm.root / name
    with (
        contextlib.closing(sqlite3.connect(clusterm.database)) as source,
        contextlib.closing(sqlite3.connect(backup)) as target,
    ):
        source.backup(target)
    return backup


def files_of(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(directory.iterdir()) if file.is_file()}


def counted(job: dict[str, Any]) -> bool:
    return bool(job["logs"] == [f"line {number}" for number in range(1, job["lines"] + 1)])


# While it is in use


def test_a_database_that_is_moved_away_is_told_and_used_again_when_it_is_back(counting: Clusterm) -> None:
    clusterm = counting
    moved = clusterm.root / "moved.db"
    clusterm.database.rename(moved)
    missing = f"the database {clusterm.database} is missing"
    ready = clusterm.http.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["store"]["why"]) == (
        503,
        f"the store cannot be written: {missing}",
    )
    refused = clusterm.post("/decommission/nodes", {"nodes": ["a-2"]})
    assert refused.status_code == 503
    advice = "put the file back, or restart clusterm"
    assert refused.json()["detail"] == f"the store cannot be used ({missing}): {advice}"
    wait_for(lambda: not clusterm.executors(), "the executor to end")
    time.sleep(2)  # no other one begins
    assert not clusterm.database.exists(), "nobody has created an empty one"
    moved.rename(clusterm.database)
    (clusterm.playbooks / "enough").touch()
    job = clusterm.ended({"id": 1})
    assert (job["status"], job["log_incomplete"]) == ("Complete", False)
    assert counted(job)


def test_a_database_that_is_replaced_is_not_written(counting: Clusterm) -> None:
    clusterm = counting
    other = back_up(clusterm)
    former = clusterm.root / "former.db"
    shutil.copy(clusterm.database, former)
    other.rename(clusterm.database)
    before = clusterm.database.read_bytes()
    assert clusterm.post("/globals", {"extra_vars": {}}).status_code == 503
    assert "was replaced by another file" in clusterm.http.get("/readyz").json()["detail"]
    wait_for(lambda: not clusterm.executors(), "the executor to end")
    assert clusterm.database.read_bytes() == before
    clusterm.restart()
    (clusterm.playbooks / "enough").touch()
    job = clusterm.ended({"id": 1})
    assert (job["status"], job["log_incomplete"], counted(job)) == ("Complete", False, True)


# Before it is in use


def test_two_services_do_not_share_a_database(clusterm: Clusterm, tmp_path: Path) -> None:
    other = Clusterm(tmp_path / "other")
    other.config["store"] = {"url": f"sqlite:///{clusterm.database}"}
    other.start(fails=True)
    assert other.log.read_text() == f"clusterm: another clusterm is running on the database {clusterm.database}\n"
    assert clusterm.get("/healthz")


def test_a_lost_database_is_not_replaced_by_an_empty_one(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1")
    backup = back_up(clusterm)
    clusterm.stop()
    clusterm.database.unlink()
    clusterm.start(fails=True)
    said = clusterm.log.read_text()
    assert said.startswith(f"clusterm: the database {clusterm.database} is missing, but ")
    assert said.count("\n") == 1
    assert not clusterm.database.exists()

    assert command(clusterm, "restore", backup).returncode == 0
    clusterm.start()
    assert list(clusterm.get("/info/nodes")) == ["a-1"]

    clusterm.stop()
    clusterm.database.unlink()
    clusterm.options = ["--new-database"]
    clusterm.start()
    assert clusterm.get("/info/nodes") == {}


@pytest.mark.parametrize(
    ("path", "mode", "advice"),
    [("", 0o777, "chmod go-w {}"), ("secret.key", 0o644, "chmod go= {}")],
)
def test_state_that_is_open_to_other_users_is_refused(
    new_clusterm: Clusterm, path: str, mode: int, advice: str
) -> None:
    clusterm = new_clusterm.start()
    clusterm.stop()
    changed = clusterm.state_dir / path
    changed.chmod(mode)
    clusterm.start(fails=True)
    said = clusterm.log.read_text()
    assert said == f"clusterm: other users have access to {changed} (mode {mode:04o}): {advice.format(changed)}\n"


def test_files_of_an_earlier_version_are_closed_to_other_users(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm.start()
    clusterm.stop()
    jobs = clusterm.state_dir / "jobs"
    jobs.mkdir(exist_ok=True)
    jobs.chmod(0o755)
    clusterm.database.chmod(0o644)
    clusterm.start()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (jobs, clusterm.database)] == [0o700, 0o600]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to another user")
@pytest.mark.parametrize("arguments", [("serve",), ("restore", "backup.db")], ids=["serve", "restore"])
def test_the_state_of_another_user_is_not_touched(new_clusterm: Clusterm, arguments: tuple[str, ...]) -> None:
    """As root would leave files that the service's user cannot use."""
    clusterm = new_clusterm.start()
    clusterm.stop()
    (clusterm.state_dir / "clusterm.db.lock").unlink()
    os.chown(clusterm.state_dir, 65534, -1)
    before = files_of(clusterm.state_dir)
    done = command(clusterm, *arguments)
    assert done.returncode == 1
    assert done.stderr == (
        f"clusterm: {clusterm.state_dir} belongs to another user: run clusterm as that user, or chown 0 "
        f"{clusterm.state_dir}\n"
    )
    assert files_of(clusterm.state_dir) == before


# Restore


@pytest.fixture
def stopped(counting: Clusterm) -> Iterator[Clusterm]:
    """A clusterm whose service was stopped while a job ran, and its backup from before."""
    back_up(counting)
    counting.stop()
    yield counting
    (counting.playbooks / "enough").touch()


def test_a_restore_is_refused_while_the_service_runs(clusterm: Clusterm) -> None:
    backup = back_up(clusterm)
    before = clusterm.dump()
    done = command(clusterm, "restore", backup)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"clusterm: another clusterm is running on the state directory {clusterm.state_dir}\n"
    assert clusterm.dump() == before


def test_a_restore_is_refused_while_a_job_runs(stopped: Clusterm) -> None:
    done = command(stopped, "restore", stopped.root / "backup.db")
    assert done.returncode == 1
    assert "job 1 is still running and uses the database: add --wait" in done.stderr
    assert sorted(files_of(stopped.state_dir)) == sorted(
        {"clusterm.db", "clusterm.db-shm", "clusterm.db-wal", "clusterm.db.lock", "lock", "secret.key"}
    )
    assert stopped.executors()


@pytest.mark.parametrize("option", ["--wait", "--end-jobs"])
def test_a_restore_after_the_last_job(stopped: Clusterm, option: str) -> None:
    clusterm = stopped
    (program,) = clusterm.programs()
    if option == "--wait":
        (clusterm.playbooks / "enough").touch()
    done = command(clusterm, "restore", clusterm.root / "backup.db", option)
    assert done.returncode == 0, done.stderr
    assert not is_alive(program)
    assert clusterm.processes() == []
    assert done.stdout.startswith(f"restored; the former database is {clusterm.database}.before-restore-")
    kept = Path(done.stdout.split()[-1])
    for database in (clusterm.database, kept):
        with contextlib.closing(sqlite3.connect(database)) as opened:
            assert opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    clusterm.start()
    job = clusterm.ended({"id": 1})
    assert (job["status"], job["log_incomplete"]) == ("Errored", True)
    assert "its files are gone, as after the restore of a backup" in job["error"]
    assert command(clusterm, "check").stdout == f"{clusterm.database}: nothing is wrong\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"", "is no database of clusterm"),
        (b"This is no database. " * 1000, "cannot be used: file is not a database"),
    ],
    ids=["missing", "empty", "text"],
)
def test_a_restore_of_what_is_no_backup_changes_nothing(
    new_clusterm: Clusterm, content: bytes | None, reason: str
) -> None:
    clusterm = new_clusterm.start()
    clusterm.stop()
    before = files_of(clusterm.state_dir)
    backup = clusterm.root / "backup.db"
    if content is not None:
        backup.write_bytes(content)
    done = command(clusterm, "restore", backup)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert reason in done.stderr
    assert files_of(clusterm.state_dir) == {**before, "clusterm.db.lock": b""}


def test_a_damaged_backup_is_refused(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm.start()
    clusterm.add_nodes(*(f"a-{number}" for number in range(1, 40)))
    backup = back_up(clusterm)
    clusterm.stop()
    content = bytearray(backup.read_bytes())
    for page in range(20, len(content) // 4096, 3):
        content[page * 4096 : page * 4096 + 100] = bytes(100)
    backup.write_bytes(content)
    before = files_of(clusterm.state_dir)
    done = command(clusterm, "restore", backup)
    assert done.returncode == 1
    assert f"the backup {backup} " in done.stderr
    assert files_of(clusterm.state_dir) == before


# Checks


def test_check_finds_what_does_not_match(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    clusterm.start()
    clusterm.add_nodes("a-1", "a-2")
    assert clusterm.run("decommission", ["a-1"])["status"] == "Complete"
    assert clusterm.run("decommission", ["a-2"], extra_vars={"password": "hunter2"})["status"] == "Complete"
    done = command(clusterm, "check")
    assert (done.returncode, done.stdout) == (0, f"{clusterm.database}: nothing is wrong\n")
    clusterm.stop()
    with contextlib.closing(sqlite3.connect(clusterm.database)) as database, database:
        database.execute("UPDATE log_lines SET text = 'another line' WHERE job_id = 1 AND seq = 1")
        database.execute("UPDATE nodes SET status = 'Maintenance' WHERE name = 'a-1'")
    (clusterm.state_dir / "jobs").mkdir(exist_ok=True)
    (clusterm.state_dir / "jobs" / "999").touch()
    (clusterm.state_dir / "secret.key").unlink()
    done = command(clusterm, "check")
    assert done.returncode == 1
    log, node, secret, stray = done.stdout.splitlines()
    assert log.startswith("the log of job 1 has changed since the job ended")
    assert node == "node a-1 is Maintenance, but no update is running on it"
    assert "secret.key" in secret
    assert stray == f"{clusterm.state_dir / 'jobs' / '999'} is not the directory of a job"


def test_damaged_pages_are_told_by_check_readiness_and_requests(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm.start()
    clusterm.add_nodes(*(f"a-{number}" for number in range(1, 40)))
    clusterm.stop()
    content = bytearray(clusterm.database.read_bytes())
    with contextlib.closing(sqlite3.connect(clusterm.database)) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
    content[(page - 1) * 4096 : page * 4096] = bytes(4096)
    clusterm.database.write_bytes(content)
    done = command(clusterm, "check")
    assert done.returncode == 1
    assert f"the database {clusterm.database} is damaged" in done.stdout
    clusterm.start()
    refused = clusterm.http.get("/info/jobs/timeline")
    assert refused.status_code == 503
    assert refused.json()["detail"].startswith("the database is damaged (database disk image is malformed): run cl")
    ready = clusterm.http.get("/readyz")
    assert ready.status_code == 503
    assert "the database is damaged" in ready.json()["detail"]


def test_processes_of_jobs_are_gone_after_all(stopped: Clusterm) -> None:
    """The executor of a stopped service, whose database another one has replaced, writes to neither."""
    clusterm = stopped
    other = clusterm.root / "backup.db"
    other.rename(clusterm.database)
    before = clusterm.database.read_bytes()
    wait_for(lambda: not clusterm.executors(), "the executor to end")
    assert clusterm.database.read_bytes() == before
    kill_all(clusterm.processes())
