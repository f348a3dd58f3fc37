"""Jobs whose processes die: who goes on with them, from where, and with which result."""

import contextlib
import fcntl
import json
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.service import Clusterm, is_alive, kill_all, wait_for

from clusterm.ansible.job_spec import prepare
from clusterm.common.actions import ACTIONS
from clusterm.enums import Action, JobStatus
from clusterm.executor import wrapper
from clusterm.jobs import admission, completion, stop
from clusterm.jobs.requests import JobRequest, Requester
from clusterm.settings import load
from clusterm.store.engine import Store
from clusterm.store.nodes import by_names, to_wire

COUNTING = """
import pathlib, sys, time
step = pathlib.Path(sys.argv[-1]).stem
with open("runs", "a") as runs:  # beside the playbooks
    print(step, file=runs)
number = 0
while not pathlib.Path(f"enough-{step}").exists():
    number += 1
    print(f"{step} {number}", flush=True)
    time.sleep(0.002)
if pathlib.Path(f"fail-{step}").exists():
    sys.exit(2)
"""
"""Says in the file `runs` that it was started, and writes numbered lines until it is told that they are enough."""

ANOTHER_BOOT = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def counting(new_clusterm: Clusterm) -> Clusterm:
    """A clusterm whose jobs count."""
    new_clusterm.use_program(COUNTING)
    return new_clusterm


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with clusterm."""
    with subprocess.Popen(["sleep", "3333"]) as process:
        yield process
        process.kill()


def begin(clusterm: Clusterm, action: str = "commission", *, lines: int = 20) -> dict[str, Any]:
    """Begin a job on a-1 and wait for its first lines."""
    clusterm.add_nodes("a-1")
    job = clusterm.begin(action, ["a-1"])
    wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"] >= lines, "the first lines")
    return job


def enough(clusterm: Clusterm, *steps: str) -> None:
    for step in steps or ("site", "cleanup"):
        (clusterm.playbooks / f"enough-{step}").touch()


def runs(clusterm: Clusterm) -> list[str]:
    file = clusterm.playbooks / "runs"
    return file.read_text().split() if file.exists() else []


def counted(job: dict[str, Any], step: str) -> int:
    """Check that the lines of a step are there, once and in order, and return how many they are."""
    numbers = [int(line.removeprefix(f"{step} ")) for line in job["logs"] if line.startswith(f"{step} ")]
    assert numbers == list(range(1, len(numbers) + 1))
    return len(numbers)


def power_cut(clusterm: Clusterm) -> None:
    """Kill the service and all of its jobs' processes, as a power cut does; parents first, or they would notice."""
    clusterm.kill()
    kill_all(sorted(clusterm.processes(), key=lambda process: process.create_time()))


def more_lines(clusterm: Clusterm, job: dict[str, Any]) -> None:
    seen = clusterm.job(job["id"], logs=False)["lines"]
    wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"] > seen, "more lines")


def nothing_left(clusterm: Clusterm) -> None:
    wait_for(lambda: not clusterm.processes(), "the job's processes to end")
    wait_for(lambda: not list((clusterm.state_dir / "jobs").iterdir()), "the job's directory to go")


@contextlib.contextmanager
def offline(clusterm: Clusterm) -> Iterator[Store]:
    """Open the store of a clusterm whose service is down."""
    store = Store(f"sqlite:///{clusterm.database}")
    yield store
    store.close()


def pretend_reboot(clusterm: Clusterm) -> None:
    """Let everything that was written down come from another boot."""
    with contextlib.closing(sqlite3.connect(clusterm.database)) as database, database:
        database.execute("UPDATE jobs SET boot_id = ?", (ANOTHER_BOOT,))
    for started in (clusterm.state_dir / "jobs").glob("*/*/started"):
        record = json.loads(started.read_text())
        record["process"]["boot"] = ANOTHER_BOOT
        started.write_text(json.dumps(record))


# Executor and service


@pytest.mark.both_stores
def test_processes_may_die_in_any_order_and_any_number_of_times(counting: Clusterm) -> None:
    clusterm = counting.start()
    job = begin(clusterm)
    (program,) = clusterm.programs()
    deaths: dict[str, Callable[[], None]] = {
        "service": clusterm.kill,
        "executor": lambda: kill_all(clusterm.executors()),
        "wrapper": lambda: kill_all(clusterm.wrappers()),
    }
    for request in ("service executor wrapper", "executor wrapper service", "wrapper service executor"):
        wait_for(clusterm.executors, "an executor")
        wait_for(clusterm.wrappers, "a wrapper")
        for name in request.split():
            deaths[name]()
        clusterm.start()
        more_lines(clusterm, job)
    assert clusterm.programs() == [program]
    enough(clusterm)
    job = clusterm.ended(job)
    assert job["error"] == "the exit status of ansible is unknown: its wrapper was killed"
    assert counted(job, "site") > 20
    assert runs(clusterm) == ["site", "cleanup"]
    nothing_left(clusterm)


@pytest.mark.both_stores
def test_executor_that_dies_often_is_followed_by_another_each_time(counting: Clusterm) -> None:
    clusterm = counting.start()
    job = begin(clusterm)
    for _ in range(6):
        kill_all(wait_for(clusterm.executors, "an executor"))
        more_lines(clusterm, job)
    for executor in clusterm.executors():
        executor.suspend()
    enough(clusterm)
    wait_for(lambda: not clusterm.wrappers(), "the end of the playbook")
    kill_all(clusterm.executors())
    job = clusterm.ended(job)
    assert (job["status"], job["error"]) == ("Complete", "")
    assert counted(job, "site") == job["lines"]
    assert runs(clusterm) == ["site"]


def test_exit_status_is_the_true_one_though_nobody_was_there_to_see_it(counting: Clusterm) -> None:
    clusterm = counting.start()
    (clusterm.playbooks / "fail-cleanup").touch()
    job = begin(clusterm, "decommission")
    clusterm.kill()
    kill_all(clusterm.executors())
    enough(clusterm)
    wait_for(lambda: not clusterm.processes(), "the end of the playbook")
    clusterm.start()
    job = clusterm.ended(job)
    assert job["status"] == "Errored"
    assert job["steps"][0]["exit_status"] == 2
    assert counted(job, "cleanup") == job["lines"]
    assert runs(clusterm) == ["cleanup"]


def test_executor_killed_between_steps_is_followed_by_one_that_cleans_up(counting: Clusterm) -> None:
    clusterm = counting.start()
    job = begin(clusterm)
    (executor,) = clusterm.executors()
    executor.suspend()
    (clusterm.playbooks / "fail-site").touch()
    enough(clusterm)
    wait_for(lambda: not clusterm.wrappers(), "the end of the first step")
    kill_all([executor])
    job = clusterm.ended(job)
    assert [(step["name"], step["exit_status"]) for step in job["steps"]] == [("configure", 2), ("cleanup", 0)]
    assert job["status"] == "Errored"
    assert job["error"].startswith("configure (site.yml) failed")
    assert runs(clusterm) == ["site", "cleanup"]


def test_executor_killed_before_it_comes_to_ansible(counting: Clusterm) -> None:
    clusterm = counting.start()
    clusterm.add_nodes("a-1")
    job = clusterm.begin("commission", ["a-1"])
    for _ in range(2):
        kill_all(wait_for(clusterm.executors, "an executor"))
        assert runs(clusterm) == []
    wait_for(clusterm.wrappers, "a wrapper")
    kill_all(clusterm.executors())  # its wrapper may or may not have come to ansible
    enough(clusterm)
    assert clusterm.ended(job)["status"] == "Complete"
    assert runs(clusterm) == ["site"]


@pytest.mark.parametrize("directory", ["1.new", "1"], ids=["half written", "its files lost by a power cut"])
def test_job_whose_service_died_before_it_did_anything_for_it(counting: Clusterm, directory: str) -> None:
    clusterm = counting.start()
    clusterm.add_nodes("a-1")
    clusterm.kill()
    half_written = clusterm.state_dir / "jobs" / directory
    half_written.mkdir(parents=True)
    (half_written / "extra_vars.json").write_text("{")
    (half_written / "plan.json").touch()
    with offline(clusterm) as store:
        request = JobRequest(Action.COMMISSION, ["a-1"], host_group="service-master")
        begun = admission.begin(store, load(str(clusterm.root / "clusterm.json")), request, Requester("127.0.0.1"))
    enough(clusterm)
    clusterm.start()
    job = clusterm.ended({"id": begun.id})
    assert job["status"] == "Complete"
    assert runs(clusterm) == ["site"]
    assert clusterm.status_of("a-1") == "Allocated"
    nothing_left(clusterm)


@pytest.mark.parametrize("content", [None, b""], ids=["lost", "empty"])
def test_a_begun_job_whose_specification_a_power_cut_has_taken(counting: Clusterm, content: bytes | None) -> None:
    clusterm = counting.start()
    job = begin(clusterm)
    power_cut(clusterm)
    specification = clusterm.state_dir / "jobs" / str(job["id"]) / "plan.json"
    specification.unlink()
    if content is not None:
        specification.write_bytes(content)
    clusterm.start()
    ended = clusterm.ended(job)
    assert (ended["status"], ended["log_incomplete"]) == ("Errored", True)
    assert ended["error"].startswith("interrupted: its files are gone")
    assert runs(clusterm) == ["site"], "a step is never run twice"
    nothing_left(clusterm)


def test_what_a_job_leaves_whose_executor_died_after_its_end_goes_with_the_next_service(counting: Clusterm) -> None:
    clusterm = counting.start()
    begin(clusterm)
    power_cut(clusterm)
    with offline(clusterm) as store:
        completion.finish(store, 1, None)
    assert list((clusterm.state_dir / "jobs").iterdir()) != []
    clusterm.start()
    nothing_left(clusterm)
    assert clusterm.job(1)["status"] == "Complete"
    assert runs(clusterm) == ["site"]


# The wrapper


def test_another_wrapper_takes_over_from_one_that_was_killed(counting: Clusterm) -> None:
    clusterm = counting.start()
    job = begin(clusterm)
    (program,) = clusterm.programs()
    for _ in range(3):
        kill_all(clusterm.wrappers())
        wait_for(clusterm.wrappers, "another wrapper")
        more_lines(clusterm, job)
    assert clusterm.programs() == [program]
    enough(clusterm)
    job = clusterm.ended(job)
    assert job["status"] == "Errored"
    assert job["error"] == "the exit status of ansible is unknown: its wrapper was killed"
    assert job["steps"][0]["exit_status"] is None
    assert counted(job, "site") > 20
    assert runs(clusterm) == ["site", "cleanup"]
    assert clusterm.status_of("a-1") == "Unallocated"
    nothing_left(clusterm)


def test_killed_wrapper_loses_nothing_that_is_written_at_full_speed(new_clusterm: Clusterm) -> None:
    new_clusterm.use_program(
        """
        import pathlib, sys, time
        for number in range(1, 100_001):
            print(f"site {number}".ljust(120, "."))
        sys.stdout.flush()
        while not pathlib.Path("enough").exists():
            time.sleep(0.01)
        """
    )
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1")
    job = clusterm.begin("decommission", ["a-1"])
    output = clusterm.state_dir / "jobs" / str(job["id"]) / "1-cleanup" / "output"
    wait_for(output.exists, "the output")
    for number in range(1, 7):
        wait_for(lambda: output.stat().st_size > number * 1_000_000 and clusterm.wrappers(), "a wrapper at work")  # noqa: B023
        kill_all(clusterm.wrappers())
    wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"] == 100_000, "all lines")
    (clusterm.playbooks / "enough").touch()
    job = clusterm.ended(job)
    assert [line.rstrip(".") for line in job["logs"]] == [f"site {number}" for number in range(1, 100_001)]


def test_wrapper_and_ansible_gone_without_a_word(counting: Clusterm) -> None:
    clusterm = counting.start()
    job = begin(clusterm)
    (executor,) = clusterm.executors()
    executor.suspend()
    kill_all(clusterm.wrappers())
    kill_all(clusterm.programs())
    executor.resume()
    job = clusterm.ended(job)
    assert job["status"] == "Errored"
    assert job["error"].startswith("interrupted in its configure step after its log line ")
    assert job["log_incomplete"] is True, "what was in the pipe is lost"
    assert counted(job, "site") >= 20
    assert clusterm.status_of("a-1") == "Unallocated"
    nothing_left(clusterm)


def test_wrapper_that_is_slow_to_begin_is_waited_for(counting: Clusterm) -> None:
    clusterm = counting.start()
    clusterm.add_nodes("a-1")
    clusterm.kill()
    with offline(clusterm) as store:
        request = JobRequest(Action.DECOMMISSION, ["a-1"])
        job = admission.begin(store, load(str(clusterm.root / "clusterm.json")), request, Requester("127.0.0.1"))
        with store.read() as session:
            nodes = [to_wire(node, []) for node in by_names(session, ["a-1"])]
    settings = load(str(clusterm.root / "clusterm.json"))
    directory = prepare(settings, job, ACTIONS[Action.DECOMMISSION], nodes, {}, {}) / "1-cleanup"
    directory.mkdir()
    with (directory / "started").open("wb") as started:  # as the wrapper does, before it makes its other files
        fcntl.flock(started, fcntl.LOCK_EX)
        clusterm.start()
        wait_for(lambda: clusterm.job(job.id)["steps"], "the executor")
        time.sleep(6)  # longer than a wrapper on an idle machine ever takes
        assert clusterm.job(job.id)["status"] == "Running"
    assert clusterm.ended({"id": job.id})["error"].startswith("interrupted in its cleanup step")


# ansible


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGRTMIN + 6])  # Python has no name for the second
def test_killed_ansible_fails_its_step(counting: Clusterm, number: int) -> None:
    clusterm = counting.start()
    job = begin(clusterm)
    (program,) = clusterm.programs()
    program.send_signal(number)
    enough(clusterm)
    job = clusterm.ended(job)
    assert job["status"] == "Errored"
    assert job["error"].startswith(f"configure (site.yml) failed: ansible was killed by signal {int(number)} (")
    assert [step["exit_status"] for step in job["steps"]] == [-number, 0]
    assert counted(job, "site") >= 20
    assert runs(clusterm) == ["site", "cleanup"]
    assert clusterm.status_of("a-1") == "Unallocated"


# Reboots and strangers


def interrupted(clusterm: Clusterm, job: dict[str, Any]) -> dict[str, Any]:
    """Check that a job ends as interrupted, and that the cluster is usable at once."""
    job = clusterm.ended(job)
    assert job["status"] == "Errored"
    assert job["error"].startswith("interrupted")
    assert clusterm.status_of("a-1") == "Unallocated"
    event = clusterm.get("/info/jobs/timeline")["items"][-1]
    assert (event["event"], event["result"], event["detail"]) == ("commissioned", "fail", job["error"])
    enough(clusterm)
    assert clusterm.run("commission", ["a-1"])["status"] == "Complete"
    nothing_left(clusterm)
    return job


def test_reboot_in_mid_job(counting: Clusterm) -> None:
    clusterm = counting.start()
    job = begin(clusterm)
    power_cut(clusterm)
    pretend_reboot(clusterm)
    clusterm.start()
    job = interrupted(clusterm, job)
    assert job["error"].startswith(f"interrupted in its configure step after its log line {job['lines']} at 20")
    assert counted(job, "site") >= 20
    assert runs(clusterm) == ["site", "site"]


def test_process_of_another_boot_is_a_stranger_even_with_the_same_pid_and_start_time(counting: Clusterm) -> None:
    clusterm = counting.start()
    job = begin(clusterm)
    (program,) = clusterm.programs()
    clusterm.kill()
    kill_all(clusterm.executors())
    kill_all(clusterm.wrappers())
    pretend_reboot(clusterm)
    with offline(clusterm) as store:
        stop.request_stop(store, "1", JobStatus.CANCELLED, "cancelled", requester=Requester("somebody"), cleanup=True)
    clusterm.start()
    assert clusterm.ended(job)["status"] == "Cancelled"
    assert is_alive(program)


@pytest.mark.parametrize("lost", ["*/1-configure", "*"])
def test_reboot_that_takes_with_it_what_was_not_on_the_disk_yet(counting: Clusterm, lost: str) -> None:
    clusterm = counting.start()
    job = begin(clusterm)
    power_cut(clusterm)
    pretend_reboot(clusterm)
    for directory in (clusterm.state_dir / "jobs").glob(lost):
        shutil.rmtree(directory)
    clusterm.start()
    interrupted(clusterm, job)
    assert runs(clusterm) == ["site", "site"], "the second one is that of the job that followed"


def test_stranger_with_the_pid_of_ansible_is_not_signalled(
    counting: Clusterm, stranger: subprocess.Popen[bytes]
) -> None:
    clusterm = counting.start()
    job = begin(clusterm)
    power_cut(clusterm)
    record(clusterm, process=wrapper.identify(stranger.pid) | {"started": 1})
    with offline(clusterm) as store:
        stop.request_stop(store, "1", JobStatus.CANCELLED, "cancelled", requester=Requester("somebody"), cleanup=True)
    clusterm.start()
    assert clusterm.ended(job)["status"] == "Cancelled"
    assert stranger.poll() is None


def test_stranger_with_the_pid_of_a_wrapper_that_was_killed_is_not_signalled(
    counting: Clusterm, stranger: subprocess.Popen[bytes]
) -> None:
    counting.config["ansible"]["stop_grace"] = 0.3
    clusterm = counting.start()
    job = begin(clusterm)
    clusterm.kill()
    kill_all(clusterm.executors())
    kill_all(clusterm.wrappers())
    record(clusterm, wrapper={**wrapper.identify(stranger.pid), "started": 1})
    with offline(clusterm) as store:
        stop.request_stop(store, "1", JobStatus.CANCELLED, "cancelled", requester=Requester("somebody"), cleanup=False)
    clusterm.start()
    assert clusterm.ended(job)["status"] == "Cancelled"
    assert stranger.poll() is None
    nothing_left(clusterm)


def record(clusterm: Clusterm, **members: object) -> None:
    """Change what is written down about the processes of the running step."""
    (started,) = (clusterm.state_dir / "jobs").glob("*/*/started")
    started.write_text(json.dumps(json.loads(started.read_text()) | members).ljust(1024))
