"""Each job has a trace id, its own or that of the request."""

import json
from typing import Any

import pytest
from support.programs import SCRIPTED
from support.service import Clusterm, wait_for
from support.webhook_receiver import receiving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def clusterm(module_clusterm: Clusterm) -> Clusterm:
    module_clusterm.use_program(SCRIPTED)
    module_clusterm.options = ["--log-format", "json"]
    module_clusterm.start()
    module_clusterm.add_nodes("node1-a")
    return module_clusterm


def begin(clusterm: Clusterm, headers: Any) -> dict[str, Any]:
    response = clusterm.post("/discover/nodes", {"addrs": ["127.0.9.9"]}, headers=headers)
    assert response.status_code == 200, response.text
    return clusterm.ended(response.json())


def test_a_job_is_in_the_trace_of_its_request(clusterm: Clusterm) -> None:
    job = begin(clusterm, {"traceparent": PARENT})

    assert job["trace_id"] == TRACE
    shown = clusterm.clusterctl("job", "get", str(job["id"]))
    assert f"Trace {TRACE}" in " ".join(shown.stdout.split())
    wait_for(lambda: not (clusterm.state_dir / "jobs" / str(job["id"])).exists(), "the end of its executor")
    said = [json.loads(line) for line in clusterm.log.read_text().splitlines()]
    of_job = [entry for entry in said if entry.get("job") == job["id"]]
    assert {entry["trace_id"] for entry in of_job} == {TRACE}
    assert {entry["logger"] for entry in of_job} >= {"clusterm.jobs.events", "clusterm.executor.step"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": "nonsense"},
        {"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"},
        [("traceparent", PARENT)] * 2,
    ],
)
def test_without_a_valid_parent_a_job_has_a_trace_of_its_own(clusterm: Clusterm, headers: Any) -> None:
    job = begin(clusterm, headers)

    assert len(job["trace_id"]) == 32
    assert job["trace_id"] not in {TRACE, "0" * 32}


def test_a_retry_and_a_queued_job_keep_the_trace_of_their_requests(clusterm: Clusterm) -> None:
    job = clusterm.run("commission", ["node1-a"], extra_vars={"status": 1})

    again = clusterm.post(f"/job/{job['id']}/retry", headers={"traceparent": PARENT}).json()

    assert again["trace_id"] == TRACE
    assert clusterm.ended(again)["trace_id"] == TRACE


@pytest.mark.parametrize(("parent", "joins"), [(PARENT, True), ("nonsense\n\u2603", False)])
def test_clusterctl_joins_the_trace_of_its_environment(
    clusterm: Clusterm, monkeypatch: pytest.MonkeyPatch, parent: str, joins: bool
) -> None:
    monkeypatch.setenv("TRACEPARENT", parent)
    done = clusterm.clusterctl("discover", "127.0.9.9", "--json")

    assert done.returncode == 0, done.stderr
    job = clusterm.ended(json.loads(done.stdout))
    assert (job["trace_id"] == TRACE) == joins


def test_a_webhook_is_told_the_trace(new_clusterm: Clusterm) -> None:
    with receiving() as receiver:
        new_clusterm.use_program(SCRIPTED)
        webhook = {"name": "ops", "url": receiver.url, "events": ["job_ended"]}
        new_clusterm.config["notifications"] = {"webhooks": [webhook]}
        new_clusterm.start()
        job = begin(new_clusterm, {"traceparent": PARENT})
        wait_for(lambda: receiver.taken, "the message")

    assert receiver.taken[0].body["job"]["trace_id"] == job["trace_id"] == TRACE
