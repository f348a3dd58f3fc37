"""A state directory on a disk that is full for a while. The playbooks, and what they write, are on another one."""

import contextlib
import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.service import WAIT_TIMEOUT_S, Clusterm, kill_all, wait_for

IN_PHASES = """
import pathlib, sys, time

def say(what, count):
    for number in range(1, count + 1):
        print(f"{what} {number}".ljust(100, "."))
    sys.stdout.flush()

step = pathlib.Path(sys.argv[-1]).stem
with open("runs", "a") as runs:  # beside the playbooks
    print(step, file=runs)
if step == "cleanup":
    sys.exit(0)
say("before", 1000)
while not pathlib.Path("full").exists():
    time.sleep(0.01)
say("lost", 20_000)
pathlib.Path("said").touch()
while not pathlib.Path("room").exists():
    time.sleep(0.01)
say("after", 1000)
sys.exit(2 if pathlib.Path("fail").exists() else 0)
"""


@pytest.fixture
def small(new_clusterm: Clusterm) -> Iterator[Clusterm]:
    """A clusterm, not started yet, with a state directory on a small disk."""
    new_clusterm.state_dir.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", str(new_clusterm.state_dir)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode and "CI" not in os.environ:
        pytest.skip(f"needs to mount a small disk, so run it as root: {mounted.stderr.strip()}")
    assert mounted.returncode == 0, mounted.stderr
    yield new_clusterm
    new_clusterm.destroy()
    umount = ["umount", str(new_clusterm.state_dir)]
    wait_for(lambda: subprocess.run(umount, check=False).returncode == 0, "the last open file to be closed")


@contextlib.contextmanager
def full(clusterm: Clusterm) -> Iterator[None]:
    """Fill the disk to its last byte."""
    filler = clusterm.state_dir / "filler"
    fill(filler)
    yield
    filler.unlink()


def fill(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 16, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)


def begin(clusterm: Clusterm, action: str = "commission") -> dict[str, Any]:
    """Begin a job and wait until its first phase is in the store."""
    clusterm.add_nodes("a-1", "a-2")
    job = clusterm.begin(action, ["a-1"])
    wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"] == 1000, "the first phase")
    return job


def fill_while_it_writes(clusterm: Clusterm) -> None:
    """Let the job write while there is no room; it is not held up."""
    (clusterm.playbooks / "full").touch()
    wait_for((clusterm.playbooks / "said").exists, "the job to go on")


def said(job: dict[str, Any], what: str) -> list[int]:
    return [int(line.strip(".").split()[1]) for line in job["logs"] if line.startswith(f"{what} ")]


def check_log(job: dict[str, Any]) -> None:
    """Check that lines are missing at one place only, and that it is marked."""
    assert job["log_incomplete"] is True
    assert said(job, "before") == list(range(1, 1001))
    lost = said(job, "lost")
    assert lost == list(range(1, len(lost) + 1))
    marks = [line for line in job["logs"] if "bytes of output are missing here: the disk was full" in line]
    assert len(marks) == (1 if said(job, "after") else 0)


def all_is_well(clusterm: Clusterm) -> None:
    """Check that the next job knows nothing of what was."""
    job = clusterm.run("decommission", ["a-1"])
    assert (job["status"], job["log_incomplete"]) == ("Complete", False)
    wait_for(lambda: not clusterm.processes(), "the jobs' processes to end")
    wait_for(lambda: not list((clusterm.state_dir / "jobs").iterdir()), "the jobs' directories to go")


def test_job_goes_on_while_the_disk_is_full(small: Clusterm) -> None:
    small.use_program(IN_PHASES)
    clusterm = small.start()
    job = begin(clusterm)
    with full(clusterm):
        fill_while_it_writes(clusterm)
        assert clusterm.job("active", logs=False)["id"] == job["id"], "the service answers"
    (clusterm.playbooks / "room").touch()
    job = clusterm.ended(job)
    assert (job["status"], job["steps"][0]["exit_status"]) == ("Complete", 0)
    check_log(job)
    assert said(job, "after") == list(range(1, 1001))
    assert clusterm.status_of("a-1") == "Allocated"
    assert clusterm.timeline() == ["a-1 commissioned pass"]
    all_is_well(clusterm)


def test_job_that_fails_while_the_disk_is_full_has_its_true_result_and_is_cleaned_up(small: Clusterm) -> None:
    small.use_program(IN_PHASES)
    clusterm = small.start()
    job = begin(clusterm)
    (clusterm.playbooks / "fail").touch()
    (clusterm.playbooks / "room").touch()
    with full(clusterm):
        fill_while_it_writes(clusterm)
        started = clusterm.state_dir / "jobs" / str(job["id"]) / "1-configure" / "ended"
        wait_for(lambda: started.read_text().strip(), "the end of the step")
        assert clusterm.get("/healthz")
    job = clusterm.ended(job)
    assert (job["status"], job["error"]) == (
        "Errored",
        "configure (site.yml) failed: ansible-playbook ended with exit status 2",
    )
    assert [(step["name"], step["exit_status"]) for step in job["steps"]] == [("configure", 2), ("cleanup", 0)]
    check_log(job)
    assert (clusterm.playbooks / "runs").read_text().split() == ["site", "cleanup"]
    assert clusterm.status_of("a-1") == "Unallocated"
    assert clusterm.timeline() == ["a-1 commissioned fail"]
    all_is_well(clusterm)


def test_executor_may_die_while_the_disk_is_full(small: Clusterm) -> None:
    small.use_program(IN_PHASES)
    clusterm = small.start()
    job = begin(clusterm)
    with full(clusterm):
        fill_while_it_writes(clusterm)
        for executor in clusterm.executors():
            executor.kill()
        wait_for(clusterm.executors, "another executor")
        (clusterm.playbooks / "room").touch()
        wait_for(lambda: not clusterm.wrappers(), "the end of the playbook")
    job = clusterm.ended(job)
    assert (job["status"], job["steps"][0]["exit_status"]) == ("Complete", 0)
    check_log(job)
    all_is_well(clusterm)


def test_a_wrapper_that_is_killed_while_it_loses_output_leaves_a_mark(small: Clusterm) -> None:
    small.use_program(IN_PHASES)
    clusterm = small.start()
    job = begin(clusterm)
    with full(clusterm):
        fill_while_it_writes(clusterm)
        kill_all(clusterm.wrappers())
    (clusterm.playbooks / "room").touch()
    job = clusterm.ended(job)
    assert job["log_incomplete"] is True
    marks = [line for line in job["logs"] if "are missing here: the disk was full" in line]
    assert marks == ["[clusterm: lines of output are missing here: the disk was full]"]
    assert said(job, "after") == list(range(1, 1001))


def test_service_starts_on_a_full_disk(small: Clusterm) -> None:
    small.use_program(IN_PHASES)
    clusterm = small.start()
    job = begin(clusterm)
    with full(clusterm):
        fill_while_it_writes(clusterm)
        clusterm.restart()
        assert clusterm.job("active", logs=False)["lines"] >= 1000
    (clusterm.playbooks / "room").touch()
    job = clusterm.ended(job)
    assert (job["status"], job["steps"][0]["exit_status"]) == ("Complete", 0)
    check_log(job)
    all_is_well(clusterm)


def test_no_job_begins_while_the_disk_is_full(small: Clusterm) -> None:
    small.use_program(IN_PHASES)
    clusterm = small.start()
    clusterm.add_nodes("a-1")
    before = clusterm.dump()
    with full(clusterm):
        refused = clusterm.post("/commission/nodes", {"nodes": ["a-1"], "host_group": "service-master"})
        assert refused.status_code == 503
        assert "full" in refused.json()["detail"]
        assert int(refused.headers["Retry-After"]) > 0
        assert clusterm.dump() == before
    assert clusterm.dump() == before
    assert not list((clusterm.state_dir).glob("jobs/*"))
    for phase in ("full", "room"):
        (clusterm.playbooks / phase).touch()
    assert clusterm.run("commission", ["a-1"])["status"] == "Complete"
    all_is_well(clusterm)


def test_a_job_whose_files_find_no_room_waits_for_it(small: Clusterm) -> None:
    small.use_program(IN_PHASES)
    small.config["ansible"]["extra_variables"] = json.dumps({"large": "x" * 3_000_000})
    clusterm = small.start()
    clusterm.add_nodes("a-1")
    for phase in ("full", "room"):
        (clusterm.playbooks / phase).touch()
    disk = os.statvfs(clusterm.state_dir)
    filler = clusterm.state_dir / "filler"
    filler.write_bytes(b"x" * (disk.f_bavail * disk.f_frsize - 2_000_000))
    job = clusterm.begin("commission", ["a-1"])
    problem = f"job {job['id']}: [Errno 28] No space left on device"
    wait_for(lambda: problem in str(clusterm.get("/info/status")["tasks"]), "the reason to be shown")
    assert list((clusterm.state_dir / "jobs").iterdir()) == []
    assert clusterm.post(f"/job/{job['id']}/cancel").is_success
    assert clusterm.ended(job)["status"] == "Cancelled"
    assert clusterm.status_of("a-1") == "Unallocated"
    job = clusterm.begin("commission", ["a-1"])
    filler.unlink()
    assert clusterm.ended(job)["status"] == "Complete"
    assert (clusterm.playbooks / "runs").read_text().split() == ["site"]


def wait_for_the_end_of_programs(clusterm: Clusterm) -> None:
    wait_for(lambda: not clusterm.programs(), "the program to be stopped")


def check_cancelled(clusterm: Clusterm, job: dict[str, Any], answer: httpx.Response) -> None:
    """Check what was answered to a cancel that could not be stored, and what was stored of it later."""
    assert answer.status_code == 200, answer.text
    assert (answer.json()["cancel_requested_by"], answer.json()["status"]) == ("127.0.0.1", "Running")
    ended = clusterm.ended(job)
    assert ended["status"] == "Cancelled"
    assert ended["error"] == f"cancelled by 127.0.0.1 at {answer.json()['cancel_requested_at']}"
    assert ended["cancel_requested_at"] == answer.json()["cancel_requested_at"]
    assert [step["name"] for step in ended["steps"]] == ["configure", "cleanup"]
    told = clusterm.get("/info/jobs/timeline", kind="jobs", job=job["id"])["items"]
    assert [each["event"] for each in told] == ["started", "stopping", "ended"]
    assert clusterm.status_of("a-1") == "Unallocated"


def test_a_job_is_cancelled_while_the_disk_is_full(small: Clusterm) -> None:
    small.use_program(IN_PHASES)
    clusterm = small.start()
    job = begin(clusterm)
    with full(clusterm):
        fill_while_it_writes(clusterm)
        answer = clusterm.post("/job/active/cancel")
        wait_for_the_end_of_programs(clusterm)
        assert clusterm.job(job["id"], logs=False)["status"] == "Running", "the end cannot be stored yet"
    check_cancelled(clusterm, job, answer)
    assert clusterm.job(job["id"])["log_incomplete"] is True


def test_a_job_is_cancelled_while_another_process_locks_the_database(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program(IN_PHASES)
    clusterm = new_clusterm.start()
    job = begin(clusterm)
    other = sqlite3.connect(clusterm.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answer = clusterm.post("/job/active/cancel", timeout=WAIT_TIMEOUT_S)
    wait_for_the_end_of_programs(clusterm)
    other.execute("ROLLBACK")
    other.close()
    check_cancelled(clusterm, job, answer)
    assert clusterm.job(job["id"])["log_incomplete"] is False


def test_what_cannot_be_cancelled_without_the_store_is_refused(small: Clusterm) -> None:
    small.use_program(IN_PHASES)
    clusterm = small.start()
    job = begin(clusterm)
    queued = clusterm.begin("update", ["a-1"], queue=True)
    with full(clusterm):
        fill_while_it_writes(clusterm)
        assert clusterm.post(f"/job/{queued['id']}/cancel").status_code == 503
        assert clusterm.post("/job/77/cancel").status_code == 404
    (clusterm.playbooks / "room").touch()
    assert clusterm.ended(job)["status"] == "Complete"
    assert clusterm.ended(queued)["cancel_requested_at"] is None
