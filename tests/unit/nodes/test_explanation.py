"""What a node's explanation says, for every status and state, and that the service then does as it says."""

import itertools
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support import rules

from clusterctl.output.output import Document, Format, show
from clusterctl.views.explanation import explanation
from clusterm.common.actions import ACTIONS
from clusterm.enums import State, Status
from clusterm.nodes.explanation import ExplanationInput, explain
from clusterm.schemas import Event, Job

NOW = datetime(2026, 11, 22, 7, 31, 2, tzinfo=UTC)
COMMISSION = ("commission node1-a --host-group service-master", "commission node1-a --host-group service-worker")

ALLOWED = {
    Status.UNALLOCATED: {*COMMISSION, "decommission node1-a"},
    Status.DECOMMISSIONED: {*COMMISSION},
    Status.ALLOCATED: {"update node1-a", "decommission node1-a"},
    Status.PROVISIONING: set(),
    Status.MAINTENANCE: set(),
    Status.CANCELLED: set(),
}


def facts(status: Status, state: State = State.DISCOVERED, **others: Any) -> ExplanationInput:
    node = rules.facts("node1-a", status, state, "service-worker")
    master = rules.facts("master-m", Status.ALLOCATED, State.DISCOVERED, "service-master")
    values: dict[str, Any] = {
        "address": "10.0.0.1",
        "label": "node1",
        "serial": "a",
        "cluster": {"node1-a": node, "master-m": master},
        "events": [event(1, "discovered")],
        "job": None,
    }
    return ExplanationInput(**values | others, spec=ACTIONS["commission"])


def event(number: int, name: str, **others: Any) -> Event:
    values = {"id": number, "at": NOW + timedelta(minutes=number), "node": "node1-a", "event": name}
    return Event.model_validate(values | {"result": None, "job": None, "detail": None} | others)


def job(status: str, **others: Any) -> Job:
    failure = {
        "node": "node1-a",
        "step": "configure",
        "play": "all",
        "task": "Mount",
        "message": "no\ndisk",
        "line": 12,
    }
    values = {
        "id": 7,
        "action": "commission",
        "desc": "commission node1-a as service-worker",
        "task": "configure",
        "status": status,
        "error": "configure failed on node1-a: Mount: no disk" if status == "Errored" else "",
        "nodes": ["node1-a"],
        "host_group": "service-worker",
        "extra_vars": {},
        "created_at": NOW,
        "started_at": NOW + timedelta(hours=1),
        "finished_at": None if status == "Running" else NOW + timedelta(hours=2),
        "requested_by": "127.0.0.1",
        "lines": 20,
        "failures": [failure] if status == "Errored" else [],
    }
    return Job.model_validate(values | others)


def printed(of: ExplanationInput, capsys: pytest.CaptureFixture[str]) -> str:

    show(Document(explain("node1-a", of).model_dump(mode="json"), explanation), Format.TABLE, sys.stdout)
    return capsys.readouterr().out


@pytest.mark.parametrize(("status", "state"), list(itertools.product(Status, State)))
def test_what_is_allowed_is_what_the_lifecycle_allows(
    status: Status, state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    said = explain("node1-a", facts(status, state))
    steps = {step.command.removeprefix("clusterctl node "): step for step in said.next_steps}
    allowed = {command for command, step in steps.items() if step.allowed}
    if state is State.DISCOVERED:
        assert allowed == ALLOWED[status]
    else:
        assert allowed == {"add node1 --serial a --addr 10.0.0.1"}
        assert {"not all nodes are in the state" in (step.reason or "") for step in steps.values()} == {
            True,
            False,
        }
    assert all(bool(step.reason) is not step.allowed for step in steps.values())
    text = printed(facts(status, state), capsys)
    assert text.startswith(f"node1-a is {status}: ")
    assert f"\nIt is {state}, since 2026-11-22T07:32:02Z: " in text


def test_a_node_that_failed(capsys: pytest.CaptureFixture[str]) -> None:
    events = [event(1, "discovered"), event(2, "commissioned", result="fail", job=7, detail="Mount: no disk")]
    assert printed(facts(Status.UNALLOCATED, events=events, job=job("Errored"), waiting=[9]), capsys) == (
        "node1-a is Unallocated: known, but not part of the cluster\n"
        "  since 2026-11-22T07:33:02Z: job 7 (commission node1-a as service-worker), requested by 127.0.0.1, "
        "ended Errored: configure failed on node1-a: Mount: no disk\n"
        "  queued for the node: job 9\n"
        "It is Discovered, since 2026-11-22T07:32:02Z: it can be reached, as far as monitoring knows\n"
        "\n"
        "Where it failed:\n"
        "  Mount: no disk (configure, line 12)\n"
        "\n"
        "Look at:\n"
        "  clusterctl job get 7\n"
        "  clusterctl job logs 7 --from 7\n"
        "\n"
        "You can:\n"
        "  clusterctl node commission node1-a --host-group service-master\n"
        "      make it part of the cluster as service-master\n"
        "  clusterctl node commission node1-a --host-group service-worker\n"
        "      make it part of the cluster as service-worker\n"
        "  clusterctl node decommission node1-a\n"
        "      take it out of the cluster\n"
        "  clusterctl job retry 7\n"
        "      retry job 7 on all its nodes\n"
        "\n"
        "You cannot now:\n"
        "  clusterctl node update node1-a\n"
        "      configure it again\n"
        "      refused: cannot update node1-a: it is Unallocated, and would have to be Allocated\n"
    )


def test_a_node_with_a_job_on_it() -> None:
    said = explain("node1-a", facts(Status.PROVISIONING, job=job("Running"), refused="there is a job"))
    assert said.since == NOW + timedelta(hours=1)
    assert said.look_at == ["clusterctl job get 7 --follow"]
    assert [step.command for step in said.next_steps if step.allowed] == ["clusterctl job cancel 7"]


def test_a_job_that_is_no_longer_kept(capsys: pytest.CaptureFixture[str]) -> None:
    events = [event(2, "updated", result="fail", job=7, detail="Mount: no disk"), event(3, "disappeared")]
    of = facts(Status.UNALLOCATED, State.DISAPPEARED, events=events)
    assert "updated by job 7, which is no longer kept; result: fail: Mount: no disk" in printed(of, capsys)
    assert explain("node1-a", of).look_at == ["clusterctl node events node1-a"]
    unknown = explain("node1-a", facts(Status.UNALLOCATED, events=[]))
    assert (unknown.since, unknown.state_since, unknown.look_at) == (None, None, [])


def test_a_retry_of_some_is_offered_where_some_failed() -> None:
    outcomes = {"master-m": "passed", "node1-a": "failed"}
    of_two = job("Errored", nodes=["master-m", "node1-a"], outcomes=outcomes)
    commands = [step.command for step in explain("node1-a", facts(Status.UNALLOCATED, job=of_two)).next_steps]
    assert commands[-1] == "clusterctl job retry 7 --failed-only"


def test_a_retry_leaves_out_what_another_job_has_brought_into_the_cluster() -> None:
    of_two = job("Errored", nodes=["master-m", "node1-a"], outcomes={"master-m": "failed", "node1-a": "failed"})
    (retry,) = [
        step for step in explain("node1-a", facts(Status.UNALLOCATED, job=of_two)).next_steps if "retry" in step.command
    ]
    assert (retry.command, retry.allowed) == ("clusterctl job retry 7", True)
    there = explain("node1-a", facts(Status.ALLOCATED, job=of_two)).next_steps
    assert not [step for step in there if "retry" in step.command]
