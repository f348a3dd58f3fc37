"""Jobs whose files, processes or executors are in an unusual state: each is told, and holds up no other job."""

import os
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.programs import COUNTING, SCRIPTED
from support.service import Clusterm, is_alive, kill_all, wait_for


@pytest.fixture
def counting(new_clusterm: Clusterm) -> Clusterm:
    """A clusterm, not started yet, whose jobs count."""
    new_clusterm.use_program(COUNTING)
    new_clusterm.config["manager"]["max_active_jobs"] = 2
    return new_clusterm


def begin(clusterm: Clusterm, node: str = "a-1", **members: Any) -> dict[str, Any]:
    """Begin a job on one of the two nodes, and wait for its first lines."""
    job = clusterm.begin("decommission", [node], **members)
    wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"] > 3, "the first lines")
    return job


def enough(clusterm: Clusterm) -> None:
    (clusterm.playbooks / "enough").touch()


def directory_of(clusterm: Clusterm, job: dict[str, Any]) -> Path:
    return clusterm.state_dir / "jobs" / str(job["id"])


def test_stray_entries_among_the_directories_of_jobs_are_told_once_and_kept(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    jobs = clusterm.state_dir / "jobs"
    jobs.mkdir(mode=0o700, parents=True)
    (jobs / "999").write_text("no directory")
    (jobs / "lost+found").mkdir()
    (jobs / "lost+found" / "precious").touch()
    (jobs / "7.new").mkdir()
    (jobs / "2").write_text("in the way of the second job")
    clusterm.start()
    clusterm.add_nodes("a-1", "a-2", "a-3")
    assert clusterm.run("decommission", ["a-1"])["status"] == "Complete"
    refused = clusterm.run("decommission", ["a-2"])
    assert refused["status"] == "Errored"
    assert f"Not a directory: '{jobs / '2'}" in refused["error"]
    assert clusterm.status_of("a-2") == "Unallocated"
    assert clusterm.run("decommission", ["a-3"])["status"] == "Complete"
    log = clusterm.log.read_text()
    for stray in ("999", "lost+found", "2"):
        assert log.count(f"{jobs / stray} is not a job's directory and is ignored") == 1
    kept = ["2", "999", "lost+found"]
    wait_for(lambda: sorted(entry.name for entry in jobs.iterdir()) == kept, "the directories of the jobs to go")
    assert (jobs / "lost+found" / "precious").exists()
    assert "Failing tasks" not in clusterm.clusterctl("status").stdout


def test_an_executor_that_cannot_be_started_for_a_while_is_started_later(counting: Clusterm) -> None:
    clusterm = counting.start()
    clusterm.add_nodes("a-1", "a-2")
    job = begin(clusterm)
    assert clusterm.process is not None
    service = psutil.Process(clusterm.process.pid)
    _, hard = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
    before = resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (service.num_fds(), hard))
    enough(clusterm)
    kill_all(clusterm.executors())
    wait_for(lambda: "Too many open files" in clusterm.log.read_text(), "the service to be short of descriptors")
    time.sleep(2)
    assert clusterm.executors() == []
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, before)
    ended = clusterm.ended(job)
    assert (ended["status"], ended["log_incomplete"]) == ("Complete", False)
    assert ended["logs"] == [f"line {number}" for number in range(1, ended["lines"] + 1)]


@pytest.mark.parametrize("wrapper_lives", [True, False])
def test_a_job_whose_files_were_deleted_ends_after_its_processes(counting: Clusterm, *, wrapper_lives: bool) -> None:
    clusterm = counting.start()
    clusterm.add_nodes("a-1", "a-2")
    job = begin(clusterm)
    (program,) = clusterm.programs()
    output = directory_of(clusterm, job) / "1-cleanup" / "output"
    wait_for(output.exists, "the output of ansible")
    reading = "import sys, time; file = open(sys.argv[1]); time.sleep(600)"
    stranger = psutil.Popen([sys.executable, "-c", reading, output])
    wait_for(lambda: str(output) in {file.path for file in stranger.open_files()}, "the reader to open the output")
    if not wrapper_lives:
        for executor in clusterm.executors():
            executor.suspend()  # it would start another wrapper
        kill_all(clusterm.wrappers())
    shutil.rmtree(directory_of(clusterm, job))
    kill_all(clusterm.executors())
    assert clusterm.post(f"/job/{job['id']}/cancel").is_success
    ended = clusterm.ended(job)
    assert not is_alive(program), "the job has ended, and its ansible runs on"
    assert ended["status"] == "Cancelled"
    assert ended["log_incomplete"] is True
    assert clusterm.log.read_text().count("its files are gone: its processes are being ended") == 1
    assert clusterm.begin("commission", ["a-1"])["id"] == job["id"] + 1
    assert is_alive(stranger), "only the job's own processes are ended"
    stranger.kill()
    stranger.wait()


def test_a_directory_of_another_job_with_the_same_id_is_not_used(counting: Clusterm) -> None:
    """As after the restore of an older backup by hand."""
    clusterm = counting.start()
    clusterm.add_nodes("a-1", "a-2")
    job = begin(clusterm)
    clusterm.kill()
    kill_all(clusterm.processes())
    other = directory_of(clusterm, job).with_name(str(job["id"] + 1))
    directory_of(clusterm, job).rename(other)
    clusterm.start()
    assert clusterm.ended(job)["status"] == "Errored"
    following = begin(clusterm, "a-2")
    enough(clusterm)
    assert clusterm.ended(following)["status"] == "Complete"
    assert clusterm.ended(following)["logs"][0] == "line 1"


def test_silence_is_not_counted_while_the_executor_stands_still(counting: Clusterm) -> None:
    clusterm = counting.start()
    clusterm.add_nodes("a-1", "a-2")
    job = begin(clusterm, idle_timeout=3)
    (executor,) = clusterm.executors()
    for _ in range(3):
        executor.suspend()
        time.sleep(4)
        lines = clusterm.job(job["id"], logs=False)["lines"]
        executor.resume()
        wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"] > lines, "the executor to read on")  # noqa: B023
    enough(clusterm)
    assert clusterm.ended(job)["status"] == "Complete"


def test_a_cancel_is_served_though_executor_and_wrapper_are_stopped(counting: Clusterm) -> None:
    clusterm = counting.start()
    clusterm.add_nodes("a-1", "a-2")
    job = begin(clusterm)
    (program,) = clusterm.programs()
    for process in (*clusterm.executors(), *clusterm.wrappers()):
        process.suspend()
    assert clusterm.post(f"/job/{job['id']}/cancel").is_success
    ended = clusterm.ended(job)
    assert (ended["status"], is_alive(program)) == ("Cancelled", False)
    assert ended["warnings"] == [
        "its executor was stopped by a signal and has been continued",
        "the wrapper of step cleanup was stopped by a signal and has been continued",
    ]


def test_files_are_private_whatever_the_umask_and_playbooks_keep_theirs(counting: Clusterm) -> None:
    counting.use_program(f"import os\nprint('umask', oct(os.umask(0)))\n{COUNTING}")
    before = os.umask(0)
    try:
        clusterm = counting.start()
    finally:
        os.umask(before)
    clusterm.add_nodes("a-1", "a-2")
    job = begin(clusterm)
    paths = [clusterm.state_dir, *clusterm.state_dir.rglob("*")]
    open_to_others = [str(path) for path in paths if path.lstat().st_mode & 0o077 and not path.is_symlink()]
    assert open_to_others == []
    assert (clusterm.state_dir / "clusterm.db-wal") in paths
    assert (directory_of(clusterm, job) / "executor.log") in paths
    enough(clusterm)
    assert clusterm.ended(job)["logs"][0] == "umask 0o0"
