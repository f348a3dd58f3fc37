"""A database that another process holds locked for longer than anybody waits for it, and defects in its way."""

import contextlib
import json
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator

import pytest
from support.service import WAIT_TIMEOUT_S, Clusterm, wait_for

from clusterm.store.engine import BUSY_TIMEOUT_S

COUNTING = """
import pathlib, sys, time
with open("runs", "a") as runs:  # beside the playbooks
    print(pathlib.Path(sys.argv[-1]).stem, file=runs)
number = 0
while not pathlib.Path("enough").exists():
    number += 1
    print(f"line {number}", flush=True)
    time.sleep(0.002)
print("the end")
sys.exit(3)
"""


@contextlib.contextmanager
def locked(clusterm: Clusterm) -> Iterator[None]:
    """Hold the write lock, as a backup or a person with a database shell may."""
    with contextlib.closing(sqlite3.connect(clusterm.database, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


@pytest.fixture
def counting(new_clusterm: Clusterm) -> Clusterm:
    """A clusterm with two jobs that count."""
    new_clusterm.use_program(COUNTING)
    new_clusterm.config["manager"]["max_active_jobs"] = 2
    clusterm = new_clusterm.start()
    clusterm.add_nodes("a-1", "a-2")
    for node in ("a-1", "a-2"):
        job = clusterm.begin("decommission", [node])
        wait_for(lambda: clusterm.job(job["id"], logs=False)["lines"], "the first line")  # noqa: B023
    return clusterm


def test_store_that_is_locked_in_mid_job_loses_nothing(counting: Clusterm) -> None:
    clusterm = counting
    _, second = clusterm.executors()
    with locked(clusterm):
        second.kill()  # the one after it finds the store locked
        before = clusterm.job(1)["logs"]
        refused = clusterm.post("/globals", {"extra_vars": {}}, timeout=3 * BUSY_TIMEOUT_S)
        assert refused.status_code == 503
        assert refused.json()["detail"] == "the store cannot be used now (database is locked): try again"
        assert int(refused.headers["Retry-After"]) > 0
        assert clusterm.job(1)["logs"][: len(before)] == before, "reading goes on"
        (clusterm.playbooks / "enough").touch()
        wait_for(lambda: not clusterm.wrappers(), "the end of the playbooks, which wait for no store")
        time.sleep(3)  # both executors have been refused by then
        assert [job["status"] for job in clusterm.get("/info/jobs")["items"]] == ["Running", "Running"]
    for node, number in (("a-1", 1), ("a-2", 2)):
        job = clusterm.ended({"id": number})
        assert (job["status"], job["steps"][0]["exit_status"]) == ("Errored", 3)
        assert job["logs"] == [f"line {number}" for number in range(1, job["lines"])] + ["the end"]
        assert job["log_incomplete"] is False
        assert clusterm.status_of(node) == "Decommissioned"
    assert sorted(clusterm.timeline()) == ["a-1 decommissioned fail", "a-2 decommissioned fail"]
    assert (clusterm.playbooks / "runs").read_text() == "cleanup\n" * 2
    wait_for(lambda: not clusterm.processes(), "the jobs' processes to end")


def test_service_stops_in_time_while_a_request_waits_for_the_store(counting: Clusterm) -> None:
    clusterm = counting
    with locked(clusterm), socket.socket() as asking:
        url = clusterm.http.base_url
        asking.connect((url.host, url.port))
        body = b'{"extra_vars": {}}'
        head = f"POST /globals HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/json\r\n"
        asking.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert clusterm.get("/healthz")  # answered after the request was taken
        assert clusterm.process is not None
        clusterm.process.terminate()
        assert clusterm.process.wait(WAIT_TIMEOUT_S) == 0  # while the store is still locked


def test_a_reload_waits_for_a_locked_store_and_stops_nothing(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm.start()
    assert clusterm.process is not None
    clusterm.config["ansible"]["secret_vars"] = ["word"]  # which the database has to be searched for
    (clusterm.root / "clusterm.json").write_text(json.dumps(clusterm.config))
    mark = "the configuration was read again"
    with locked(clusterm):
        clusterm.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + BUSY_TIMEOUT_S + 1
        while time.monotonic() < deadline:
            asked = time.monotonic()
            assert clusterm.get("/healthz")
            assert time.monotonic() - asked < BUSY_TIMEOUT_S / 2, "requests wait for the reload"
        assert "background task reloader failed, retrying: database is locked" in clusterm.log.read_text()
        assert mark not in clusterm.log.read_text()
    wait_for(lambda: mark in clusterm.log.read_text(), "the reload")
    assert clusterm.stop() == 0
