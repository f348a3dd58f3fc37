"""The service's own log: every line about a job says which, whoever writes it, and nobody can forge one."""

import io
import json
import logging
import os
import socket
import subprocess
import sys
from typing import Any

import pytest
from support.programs import SCRIPTED
from support.service import BIN, WAIT_TIMEOUT_S, Clusterm, wait_for

from clusterm.common import service_log
from clusterm.common.service_log import Formatter, JobLogger
from clusterm.enums import LogFormat


def record(message: str, *args: Any, level: int = logging.INFO, **members: Any) -> logging.LogRecord:
    made = {"name": "clusterm.x", "msg": message, "args": args, "levelno": level, "levelname": "INFO", "created": 1.5}
    return logging.makeLogRecord(made | service_log.log_fields(**members))


def entries(clusterm: Clusterm) -> list[dict[str, Any]]:
    """Return the lines of the log, each of which must be JSON; the last one may not be whole yet."""
    return [json.loads(line) for line in clusterm.log.read_text().rpartition("\n")[0].splitlines()]


def of_job(clusterm: Clusterm, job: int) -> list[dict[str, Any]]:
    return [entry for entry in entries(clusterm) if entry.get("job") == job]


def ends(clusterm: Clusterm, job: int) -> bool:
    """Tell whether a job's directory is gone, and so all that its executor said is passed on."""
    return not (clusterm.state_dir / "jobs" / str(job)).exists()


# How a line is written


def test_text() -> None:
    about: dict[str, Any] = {"job": 7, "action": "commission", "nodes": [f"node{number}" for number in range(7)]}
    text = Formatter(LogFormat.TEXT)
    assert text.format(record("listens on %s", "port")) == "1970-01-01T00:00:01.500Z INFO listens on port"
    assert text.format(record("started", **about)) == (
        "1970-01-01T00:00:01.500Z INFO job 7 (commission node0 node1 node2 node3 node4 and 2 more): started"
    )
    assert "(commission node0): " not in text.format(record("PLAY", line=3, **about))
    assert " and 2 more) line 3: PLAY" in text.format(record("PLAY", line=3, **about))


FORGED = "refused\n<0>2026-11-22T00:00:00.000Z INFO job 1 (x): all is well\r\x1b[2K\x85\u2028\u202e\udcff"


@pytest.mark.parametrize("log_format", LogFormat)
@pytest.mark.parametrize("to_journal", [False, True])
def test_a_message_cannot_forge_a_line(log_format: LogFormat, to_journal: bool) -> None:
    failed = record(FORGED, level=logging.ERROR, job=1, action=FORGED, nodes=[FORGED])
    line = Formatter(log_format, to_journal=to_journal).format(failed)
    assert line.isprintable()
    assert line.startswith("<3>") is to_journal
    if log_format is LogFormat.JSON:
        assert json.loads(line.removeprefix("<3>"))["message"] == FORGED


def test_an_exception_is_indented_and_every_line_of_it_has_its_priority() -> None:
    def fail() -> None:
        raise ValueError("no\n<0>2026-11-22T00:00:00.000Z INFO such thing")

    try:
        fail()
    except ValueError:
        failed = logging.LogRecord("x", logging.ERROR, __file__, 1, "it failed", None, sys.exc_info())
    first, *others = Formatter(LogFormat.TEXT, to_journal=True).format(failed).split("\n")
    assert first.endswith("ERROR it failed")
    assert len(others) > 3
    assert [line for line in others if not line.startswith("<3>    ")] == []
    assert "ValueError: no" in json.loads(Formatter(LogFormat.JSON).format(failed))["exception"]


def test_what_an_executor_wrote_is_passed_on_as_it_was() -> None:
    written = Formatter(LogFormat.JSON).format(record("step %s started", "configure", job=7, nodes=["a"], step="x"))
    assert Formatter(LogFormat.JSON).format(service_log.parse(written, {"job": 8})) == written
    for odd in ("Segmentation fault", "[]", "{}", '{"level": "x"}', '{"at": 1, "level": "info"}', ""):
        said = json.loads(Formatter(LogFormat.JSON).format(service_log.parse(odd, {"job": 8})))
        assert (said["message"], said["job"], said["level"]) == (odd, 8, "warning")


def test_a_line_fits_into_the_journal() -> None:
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(Formatter(LogFormat.JSON))
    logger = logging.Logger("test")  # noqa: LOG001
    logger.addHandler(handler)
    JobLogger(logger, 1, "update", [f"node{number}" for number in range(5000)]).info("\N{SNOWMAN}" * 100_000)
    (line,) = lines.getvalue().splitlines()
    assert len(line) <= 48 * 1024
    assert json.loads(line)["nodes"][-1] == "and 4900 more"


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
    assert "doesn't exists" in refused[0]["message"]
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
