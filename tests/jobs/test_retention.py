"""What is kept and for how long, and that deleting the rest disturbs nobody."""

import contextlib
import json
import re
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support.rows import add_plain_job
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm, wait_for

from clusterm.executor.output.parser import MAX_LINE_BYTES
from clusterm.settings import KIB
from clusterm.store.engine import Store
from clusterm.store.migrations import migrate

MANY = 60_000

COUNTING = """
import pathlib, time
number = 0
while not pathlib.Path("enough").exists():  # beside the playbooks
    number += 1
    print(f"line {number}", flush=True)
    time.sleep(0.002)
"""


def add_lines(database: Path, job_id: int, first: int, last: int) -> None:
    text = "x" * 100
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(
            "INSERT INTO log_lines (job_id, seq, at, text, partial) VALUES (?, ?, ?, ?, 0)",
            ((job_id, seq, "2026-01-01 00:00:00.000000", text) for seq in range(first, last + 1)),
        )
        connection.execute("UPDATE jobs SET lines = ?, bytes = ? WHERE id = ?", (last, last * 101, job_id))


def lines_of(database: Path, job_id: int) -> int:
    return int(ask(database, "SELECT count(*) FROM log_lines WHERE job_id = ?", job_id))


def is_going(database: Path, job_id: int) -> bool:
    """Tell whether some lines of a job have been deleted."""
    return bool(ask(database, "SELECT min(seq) FROM log_lines WHERE job_id = ?", job_id) != 1)


def ask(database: Path, question: str, *values: object) -> Any:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(question, values).fetchone()[0]


# How it is deleted


@pytest.fixture
def large(new_clusterm: Clusterm) -> Clusterm:
    """A clusterm, not started yet, with a large job that is to go and one of the same node that stays."""
    new_clusterm.config["retention"] = {"jobs": 1}
    new_clusterm.use_program(COUNTING)
    (new_clusterm.root / "clusterm.json").write_text(json.dumps(new_clusterm.config))
    new_clusterm.state_dir.mkdir()
    store = Store(f"sqlite:///{new_clusterm.database}")
    migrate(store)
    add_plain_job(store)
    add_plain_job(store)
    store.close()
    add_lines(new_clusterm.database, 1, 1, MANY)
    return new_clusterm


def start_prune(clusterm: Clusterm, *options: str) -> subprocess.Popen[str]:
    command: list[str | Path] = [BIN / "clusterm", "prune", "--config", clusterm.root / "clusterm.json", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def size_of(clusterm: Clusterm) -> int:
    return sum(file.stat().st_size for file in clusterm.state_dir.glob("clusterm.db*"))


def test_prune_says_what_it_would_do_and_then_does_it_and_the_space_is_free(large: Clusterm) -> None:
    before = (lines_of(large.database, 1), size_of(large))
    told = start_prune(large, "--dry-run").communicate(timeout=WAIT_TIMEOUT_S)
    assert told == (f"job 1  {MANY * 101} bytes of log  more than 1 jobs\n", "")
    assert (lines_of(large.database, 1), size_of(large)) == before
    assert start_prune(large).communicate(timeout=WAIT_TIMEOUT_S) == told
    assert lines_of(large.database, 1) == 0
    assert size_of(large) < before[1] // 10
    assert start_prune(large).communicate(timeout=WAIT_TIMEOUT_S) == ("", "")


def test_a_running_job_is_not_held_up_by_pruning(large: Clusterm) -> None:
    add_lines(large.database, 1, MANY + 1, 5 * MANY)
    clusterm = large.start()
    clusterm.add_nodes("a-2")
    job = clusterm.begin("decommission", ["a-2"])
    wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"], "the first line")
    pruning = start_prune(clusterm)
    seen = set()
    while pruning.poll() is None:
        if is_going(clusterm.database, 1):
            seen.add(ask(clusterm.database, "SELECT lines FROM jobs WHERE id = ?", job["id"]))
        time.sleep(0.02)
    assert pruning.communicate()[1] == ""
    assert len(seen) >= 3, "its lines came into the store between the deletions"
    (clusterm.playbooks / "enough").touch()
    job = clusterm.ended(job)
    assert job["status"] == "Complete"
    assert job["logs"] == [f"line {number}" for number in range(1, job["lines"] + 1)]
    assert clusterm.http.get("/info/job/1").status_code == 404


def test_pruning_that_was_killed_half_way_goes_on_the_next_time(large: Clusterm) -> None:
    pruning = start_prune(large)
    wait_for(lambda: is_going(large.database, 1), "some lines to go")
    pruning.kill()
    pruning.communicate()
    assert 0 < lines_of(large.database, 1) < MANY
    large.start()
    assert large.job(1, logs=False)["log_incomplete"] is True, "whoever sees it half-way is told"
    assert start_prune(large).communicate(timeout=WAIT_TIMEOUT_S) == (
        f"job 1  {MANY * 101} bytes of log  more than 1 jobs\n",
        "",
    )
    assert large.http.get("/info/job/1").status_code == 404
    assert lines_of(large.database, 1) == 0
    with contextlib.closing(sqlite3.connect(large.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_database_that_cannot_give_space_back_is_pruned_all_the_same(large: Clusterm) -> None:
    with contextlib.closing(sqlite3.connect(large.database)) as connection:  # as one restored from a dump is
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")
    pruning = start_prune(large)
    try:
        assert pruning.communicate(timeout=WAIT_TIMEOUT_S)[1] == ""
    finally:
        pruning.kill()
        pruning.wait()
    assert lines_of(large.database, 1) == 0


# A log that is too large


LIMIT = 64 * KIB


@pytest.fixture
def limited(new_clusterm: Clusterm) -> Clusterm:
    """A clusterm, not started yet, that keeps little of a job's log."""
    new_clusterm.config["retention"] = {"job_log_bytes": LIMIT}
    return new_clusterm


def head_and_tail(job: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Check the line that says how many lines are missing, and return what is before and after it."""
    assert job["log_incomplete"] is True
    (place,) = (number for number, line in enumerate(job["logs"]) if line.startswith("[clusterm: "))
    mark = r"\[clusterm: (\d+) lines are left out here: the log is larger than retention\.job_log_bytes\]"
    found = re.fullmatch(mark, job["logs"][place])
    assert found
    assert int(found[1]) == job["lines"] - (len(job["logs"]) - 1)
    assert LIMIT // 2 < sum(len(line) + 1 for line in job["logs"]) <= LIMIT + 1000
    return job["logs"][:place], job["logs"][place + 1 :]


def test_head_and_tail_of_a_log_that_is_too_large_are_kept(limited: Clusterm) -> None:
    limited.use_program(
        """
        import pathlib, sys, time
        for number in range(1, 30_001):
            print(f"line {number}".ljust(99, "."))
            if number == 15_000:
                sys.stdout.flush()
                while not pathlib.Path("go").exists():
                    time.sleep(0.01)
        """
    )
    clusterm = limited.start()
    clusterm.add_nodes("a-1")
    job = clusterm.begin("decommission", ["a-1"])
    wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"] == 15_000, "the first half")
    head_and_tail(clusterm.job(job["id"]))
    for executor in clusterm.executors():
        executor.kill()
    (clusterm.playbooks / "go").touch()
    job = clusterm.ended(job)
    assert (job["status"], job["lines"]) == ("Complete", 30_000)
    head, tail = head_and_tail(job)
    written = [f"line {number}".ljust(99, ".") for number in range(1, 30_001)]
    assert head == written[: len(head)]
    assert tail == written[-len(tail) :]
    assert min(len(head), len(tail)) > 100
    assert clusterm.http.get("/info/logs/last", params={"tail": 2}).text.splitlines() == written[-2:]
    assert clusterm.http.get("/info/logs/last").text.splitlines() == job["logs"]
    following = clusterm.http.get("/info/logs/last", params={"follow": True}).text
    assert following.splitlines() == job["logs"]


def test_line_that_is_too_large_is_cut_like_a_log(limited: Clusterm) -> None:
    limited.use_program("print('x' * 1_000_000)\nprint('the end')\n")
    clusterm = limited.start()
    clusterm.add_nodes("a-1")
    job = clusterm.run("decommission", ["a-1"])
    assert (job["status"], job["lines"]) == ("Complete", -(-1_000_000 // MAX_LINE_BYTES) + 1)
    assert job["log_incomplete"] is True
    head, mark, *tail = job["logs"]
    assert set(head) == {"x"}
    assert mark.startswith("[clusterm: ")
    assert tail[-1] == "the end"
