"""The service's own log: every line about a job says which, whoever writes it, and nobody can forge one."""

import json
import os
import socket
import subprocess
from typing import Any

import pytest
from support.programs import SCRIPTED
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm, wait_for


def entries(clusterm: Clusterm) -> list[dict[str, Any]]:
    """Return the lines of the log, each of which must be JSON; the last one may not be whole yet."""
    return [json.loads(line) for line in clusterm.log.read_text().rpartition("\n")[0].splitlines()]


def of_job(clusterm: Clusterm, job: int) -> list[dict[str, Any]]:
    return [entry for entry in entries(clusterm) if entry.get("job") == job]


def ends(clusterm: Clusterm, job: int) -> bool:
    """Tell whether a job's directory is gone, and so all that its executor said is passed on."""
    return not (clusterm.state_dir / "jobs" / str(job)).exists()


# What the service says


@pytest.fixture(scope="module")
def talkative(module_clusterm: Clusterm) -> Clusterm:
    """A service that logs JSON."""
    module_clusterm.use_program(SCRIPTED)
    module_clusterm.options = ["--log-format", "json"]
    module_clusterm.start()
    module_clusterm.add_nodes("node1-a", "node2-b")
    return module_clusterm


def test_a_job_is_told_from_its_request_to_its_end(talkative: Clusterm) -> None:
    clusterm = talkative
    job = clusterm.run("commission", ["node1-a", "node2-b"], extra_vars={"status": 3})["id"]
    wait_for(lambda: ends(clusterm, job), "the end of its executor")

    said = of_job(clusterm, job)
    assert {(entry["action"], *entry["nodes"]) for entry in said} == {("commission", "node1-a", "node2-b")}
    told = [entry["message"].partition(" (")[0] for entry in said]
    assert told[0] == "accepted from 127.0.0.1 and started"
    assert told[1].startswith("executor ")
    assert told[2] == "step configure started: site.yml"
    assert told[3].startswith("step configure ended after ")
    assert told[4] == "step cleanup started: cleanup.yml"
    (configure,) = (entry for entry in said if "exit_status" in entry and entry["step"] == "configure")
    assert configure["exit_status"] == 3
    assert "exit status 3" in configure["error"]
    end = said[-1]
    assert (end["status"], end["level"], end["error"]) == ("Errored", "warning", clusterm.job(job)["error"])
    assert end["seconds"] > 0
    assert "line 1" not in clusterm.log.read_text()


def test_a_queued_job_that_is_cancelled(talkative: Clusterm) -> None:
    clusterm = talkative
    gate = clusterm.root / "gate"
    first = clusterm.begin("discover", ["10.0.0.1"], extra_vars={"until": str(gate)})
    queued = clusterm.begin("discover", ["10.0.0.2"], queue=True)["id"]
    assert clusterm.post(f"/job/{queued}/cancel").status_code == 200
    third = clusterm.begin("discover", ["10.0.0.3"], queue=True)
    gate.touch()
    clusterm.ended(first)
    clusterm.ended(third)

    told = [entry["message"].partition(" at ")[0] for entry in of_job(clusterm, queued)]
    assert told == [
        "accepted from 127.0.0.1 and queued",
        "to be stopped: cancelled by 127.0.0.1",
        "ended after 0.0 s, Cancelled: cancelled by 127.0.0.1",
    ]
    assert "its turn has come: started" in [entry["message"] for entry in of_job(clusterm, third["id"])]


def test_what_else_it_tells(talkative: Clusterm) -> None:
    clusterm = talkative
    address = "10.9.9.9\n2026-11-22T00:00:00.000Z INFO forged"
    assert clusterm.post("/commission/nodes", {"nodes": [address], "host_group": "service-master"}).status_code == 404
    assert clusterm.post("/commission/nodes", {"bogus": 1}).status_code == 422
    assert clusterm.http.get("/info/job/999").status_code == 404
    clusterm.post("/config", {"config": {"ansible": {"user": "vagrant"}}})
    clusterm.post("/globals", {"extra_vars": {"password": "hunter2"}})
    clusterm.post(
        "/monitor/event",
        {"monitor_event": {"name": "disappeared", "nodes": [{"label": "node1", "serial": "a", "addr": "127.0.1.1"}]}},
    )

    said = entries(clusterm)
    refused = [entry for entry in said if " rejected with " in entry["message"]]
    assert [(entry["status"], entry["path"]) for entry in refused] == [
        (404, "/commission/nodes"),
        (422, "/commission/nodes"),
    ]
    assert "no node has the name or address" in refused[0]["message"]
    assert refused[0]["code"] == "node_not_found"
    messages = [entry["message"] for entry in said]
    assert "the configuration was changed over REST by 127.0.0.1: user" in messages
    assert "the globals were set by 127.0.0.1: password" in messages
    assert "hunter2" not in clusterm.log.read_text()
    assert {"node": "node1-a", "event": "disappeared"}.items() <= next(
        entry for entry in said if entry.get("event") == "disappeared"
    ).items()
    assert {"uvicorn.error", "clusterm.server.serve", "clusterm.jobs.events"} <= {entry["logger"] for entry in said}


def test_no_line_is_lost_or_doubled_over_restarts(new_clusterm: Clusterm) -> None:
    clusterm = new_clusterm
    clusterm.use_program(SCRIPTED)
    clusterm.options = ["--log-format", "json", "--echo-job-logs"]
    clusterm.start()
    gate = clusterm.root / "gate"
    job = clusterm.begin("discover", ["10.0.0.1"], extra_vars={"lines": 3, "until": str(gate)})
    wait_for(lambda: "line 3" in clusterm.log.read_text(), "the lines")
    passed_on = clusterm.state_dir / "jobs" / str(job["id"]) / "passed_on"
    wait_for(lambda: passed_on.exists() and json.loads(passed_on.read_text())[1] == 4, "them to be noted")
    before = of_job(clusterm, job["id"])
    clusterm.kill()
    (executor,) = clusterm.executors()
    gate.touch()
    executor.wait(WAIT_TIMEOUT_S)
    assert list((clusterm.state_dir / "jobs" / str(job["id"])).glob("extra_vars*")) == []
    clusterm.start()
    wait_for(lambda: ends(clusterm, job["id"]), "the rest to be passed on")

    said = before + of_job(clusterm, job["id"])
    echoed = [entry for entry in said if entry["logger"] == "clusterm.ansible"]
    assert [entry["line"] for entry in echoed] == [1, 2, 3, 4]
    assert [entry["message"] for entry in echoed[1:]] == ["line 1", "line 2", "line 3"]
    told = [entry["message"] for entry in said if (entry not in echoed and "step" in entry) or "status" in entry]
    assert [message.partition(" after")[0] for message in told] == [
        "accepted from 127.0.0.1 and started",
        "step configure started: site.yml",
        "step configure ended",
        "ended",
    ]


def test_the_journal_gets_priorities(new_clusterm: Clusterm) -> None:
    """A socket is what systemd makes stderr to, and JOURNAL_STREAM says which one."""
    clusterm = new_clusterm
    ours, theirs = socket.socketpair()
    status = os.fstat(theirs.fileno())
    config = clusterm.root / "clusterm.json"
    config.write_text(json.dumps(clusterm.config))
    service = subprocess.Popen(
        [str(BIN / "clusterm"), "serve", "--config", str(config)],
        stderr=theirs.fileno(),
        env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"},
    )
    theirs.close()
    said = b""
    ours.settimeout(WAIT_TIMEOUT_S)
    while b"clusterm listens" not in said:
        said += ours.recv(65536)
    service.terminate()
    while more := ours.recv(65536):
        said += more
    service.wait(WAIT_TIMEOUT_S)
    ours.close()
    assert [line for line in said.decode().splitlines() if not line.startswith("<6>2")] == []
