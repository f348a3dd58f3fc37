"""Ending a job before it ends by itself: cancel, timeouts, and what becomes of nodes and processes."""

import os
from typing import Any

import psutil
import pytest
from support.service import Clusterm, wait_for

LONG = str(10**6 + os.getpid())
"""Seconds that something sleeps which is to be ended; by these it is known, whoever else runs these tests."""

ENDLESS = """
import pathlib, sys, time
step = pathlib.Path(sys.argv[-1]).stem
print(f"{step} begins", flush=True)
while step == "site":
    time.sleep(0.05)
print("cleaned up", flush=True)
"""

STUBBORN = f"""
import pathlib, signal, subprocess, sys, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: print("ignores", signal.Signals(number).name, flush=True))
if pathlib.Path(sys.argv[-1]).stem == "cleanup":
    sys.exit()
subprocess.Popen(["sleep", "{LONG}"], start_new_session=True)  # as ansible's workers are in sessions of their own
print("begins", flush=True)
while True:
    time.sleep(0.05)
"""


def cancel(clusterm: Clusterm, job: dict[str, Any], **body: object) -> dict[str, Any]:
    response = clusterm.post(f"/job/{job['id']}/cancel", body)
    assert response.status_code == 200, response.text
    return dict(response.json())


def begin(clusterm: Clusterm, program: str, **members: object) -> dict[str, Any]:
    """Begin a job that runs a program on a node of its own, and wait for its first line."""
    clusterm.use_program(program)
    node = f"node{len(clusterm.get('/info/nodes'))}-a"
    clusterm.add_nodes(node)
    job = clusterm.begin("commission", [node], **members)
    wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"], "the first line")
    return job


@pytest.fixture(scope="module")
def service(module_clusterm: Clusterm) -> Clusterm:
    """A service that runs programs in place of ansible."""
    module_clusterm.use_program(ENDLESS)
    return module_clusterm.start()


@pytest.fixture
def impatient(service: Clusterm) -> Clusterm:
    """A service that gives ansible little time to end, and has no timeouts."""
    configure(service, stop_grace=0.3, job_timeout=0, idle_timeout=0)
    return service


def configure(clusterm: Clusterm, **settings: object) -> None:
    """Change settings of ansible."""
    response = clusterm.post("/config", {"config": {"ansible": settings}})
    assert response.status_code == 200, response.text


def test_cancelled_commission_is_cleaned_up(impatient: Clusterm) -> None:
    clusterm = impatient
    job = begin(clusterm, ENDLESS)
    answer = cancel(clusterm, job)
    assert answer["cancel_requested_by"] == "127.0.0.1"
    job = clusterm.ended(job)
    assert job["status"] == "Cancelled"
    assert job["error"].startswith("cancelled by 127.0.0.1 at 20")
    assert [step["name"] for step in job["steps"]] == ["configure", "cleanup"]
    assert job["logs"][-1] == "cleaned up"
    assert clusterm.status_of(job["nodes"][0]) == "Unallocated"
    event = clusterm.get("/info/jobs/timeline")["items"][-1]
    assert (event["result"], event["detail"]) == ("fail", job["error"])
    again = clusterm.post(f"/job/{job['id']}/cancel")
    assert again.status_code == 409
    assert "has ended already" in again.json()["detail"]


def test_cancel_without_cleanup(impatient: Clusterm) -> None:
    clusterm = impatient
    job = begin(clusterm, ENDLESS)
    cancel(clusterm, job, cleanup=False)
    job = clusterm.ended(job)
    assert (job["status"], [step["name"] for step in job["steps"]]) == ("Cancelled", ["configure"])


def test_second_cancel_stops_the_cleanup_too(impatient: Clusterm) -> None:
    clusterm = impatient
    job = begin(clusterm, ENDLESS.replace('== "site"', "!= ''"))
    cancel(clusterm, job)
    wait_for(lambda: "cleanup begins" in clusterm.job(job["id"])["logs"], "the cleanup")
    cancel(clusterm, job, cleanup=False)
    assert clusterm.ended(job)["status"] == "Cancelled"


def test_real_ansible_is_stopped_with_all_its_workers(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm
    clusterm.config["ansible"]["stop_grace"] = 0.3
    clusterm.write_playbook(
        "site.yml",
        f"""
        - hosts: all
          connection: local
          gather_facts: false
          tasks:
            - name: Take long
              ansible.builtin.command: sleep {LONG}
        """,
    )
    clusterm.start()
    clusterm.add_nodes("node1-a")
    job = clusterm.begin("commission", ["node1-a"])
    wait_for(lambda: running(LONG), "the sleep")
    cancel(clusterm, job, cleanup=False)
    assert clusterm.ended(job)["status"] == "Cancelled"
    wait_for(lambda: not running(LONG), "the end of what ansible started")


def test_what_ignores_signals_is_killed_with_its_offspring(impatient: Clusterm) -> None:
    clusterm = impatient
    job = begin(clusterm, STUBBORN)
    cancel(clusterm, job, cleanup=False)
    job = clusterm.ended(job)
    assert job["logs"] == ["begins", "ignores SIGINT", "ignores SIGTERM"]
    assert job["steps"][0]["exit_status"] == -9
    wait_for(lambda: not running(LONG), "the end of the grandchild")


def test_cancel_outlives_service_and_executor(impatient: Clusterm) -> None:
    clusterm = impatient
    configure(clusterm, stop_grace=1.5)
    job = begin(clusterm, STUBBORN)
    cancel(clusterm, job)
    wait_for(lambda: "ignores SIGINT" in clusterm.job(job["id"])["logs"], "the first signal")
    for executor in clusterm.executors():
        executor.kill()
    clusterm.restart()
    job = clusterm.ended(job)
    assert job["status"] == "Cancelled"
    assert job["logs"] == ["begins", "ignores SIGINT", "ignores SIGTERM"]
    assert [step["name"] for step in job["steps"]] == ["configure", "cleanup"]


def test_job_that_completes_in_spite_of_a_cancel_is_complete(impatient: Clusterm) -> None:
    clusterm = impatient
    job = begin(
        clusterm,
        """
        import signal, sys, time
        signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
        print("begins", flush=True)
        time.sleep(3333)
        """,
    )
    cancel(clusterm, job)
    assert clusterm.ended(job)["status"] == "Complete"
    assert clusterm.status_of(job["nodes"][0]) == "Allocated"


@pytest.mark.parametrize(
    ("settings", "members", "reason"),
    [
        ({"job_timeout": 1}, {}, "timed out: it ran longer than 1 s (job_timeout)"),
        (
            {"idle_timeout": 3},
            {},
            "timed out: ansible wrote nothing for 3 s (idle_timeout)",
        ),  # cleanup has to start in it
        ({"job_timeout": 4444}, {"job_timeout": 1}, "timed out: it ran longer than 1 s (job_timeout)"),
        ({"job_timeout": 1}, {"job_timeout": 0, "idle_timeout": 3}, "timed out: ansible wrote nothing for 3 s"),
    ],
)
def test_timeouts_end_a_job(
    impatient: Clusterm, settings: dict[str, Any], members: dict[str, Any], reason: str
) -> None:
    clusterm = impatient
    configure(clusterm, **settings)
    job = clusterm.ended(begin(clusterm, ENDLESS, **members))
    assert job["status"] == "Errored"
    assert job["error"].startswith(reason)
    assert job["cancel_requested_by"] is None
    assert job["logs"][-1] == "cleaned up"
    assert clusterm.status_of(job["nodes"][0]) == "Unallocated"


def running(argument: str) -> bool:
    """Tell whether a sleep with this argument is running on the machine."""
    return any(process.info["cmdline"] == ["sleep", argument] for process in psutil.process_iter(["cmdline"]))
