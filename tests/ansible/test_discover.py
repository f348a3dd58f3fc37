"""Machines that a discover job has prepared become nodes: who they are, and what cannot be."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.service import Clusterm, wait_for

from clusterm.ansible.facts import identify
from clusterm.ansible.job_spec import JobSpec, prepare
from clusterm.enums import Action, JobStatus
from clusterm.jobs import completion
from clusterm.jobs import events as job_events
from clusterm.schemas import Event, Job, MonitoredNode
from clusterm.settings import RetentionSettings, Settings
from clusterm.store import events, job_views, nodes, tables
from clusterm.store import jobs as rows
from clusterm.store.engine import Store

RETENTION = RetentionSettings()
LOCAL = "- hosts: cluster-node\n  connection: local\n  gather_facts: {gather}\n  tasks: [{{debug: {{msg: done}}}}]\n"


def job_on(store: Store, *addresses: str) -> int:
    with store.write() as session:
        now = datetime.now(UTC)
        running = JobStatus.RUNNING
        job = tables.Job(
            action=Action.DISCOVER, status=running, host_group="", extra_vars={}, requested_by="ann", created_at=now
        )
        session.add(job)
        session.flush()
        for position, address in enumerate(addresses):
            session.add(tables.JobNode(job_id=job.id, position=position, node=address, held=True))
        return job.id


def machine(label: str, serial: str, addr: str) -> MonitoredNode:
    return MonitoredNode(label=label, serial=serial, addr=addr)


def end(store: Store, job_id: int, error: str | None, **discovered: MonitoredNode | str) -> tuple[Job, list[Event]]:
    found = {name.replace("_", "."): node for name, node in discovered.items()}
    completion.finish(store, RETENTION, job_id, error, completion.Findings(discovered=found))
    with store.read() as session:
        told = [event for event in events.timeline(session, 1000, limit=1000) if event.job == job_id]
        return job_views.to_wire(session, rows.get(session, job_id)), told


def test_machines_become_nodes_in_the_transaction_that_ends_the_job(store: Store) -> None:
    job_id = job_on(store, "a.example", "b.example")
    job, told = end(
        store, job_id, None, a_example=machine("a", "1", "a.example"), b_example=machine("b", "2", "b.example")
    )
    assert job.status == "Complete"
    assert [(e.node, e.result, e.detail, e.by) for e in told] == [
        ("a-1", "pass", "at a.example", "ann"),
        ("b-2", "pass", "at b.example", "ann"),
    ]
    assert told[0].changes["state"] == ["Unknown", "Discovered"]
    assert end(store, job_id, None, a_example=machine("c", "3", "a.example")) == (job, told), "it has ended already"
    with store.read() as session:
        assert [(node.name, node.address) for node in nodes.list_all(session)] == [
            ("a-1", "a.example"),
            ("b-2", "b.example"),
        ]


def test_what_cannot_be_registered_is_that_address_s_failure(store: Store) -> None:
    job_id = job_on(store, "a.example", "b.example", "c.example", "d.example")
    job, told = end(
        store,
        job_id,
        None,
        a_example=machine("same", "1", "a.example"),
        b_example=machine("same", "1", "b.example"),
        c_example="no route",
        d_example=machine("service", "master", "d.example"),
    )
    assert [(e.node, e.result) for e in told] == [("same-1", "pass"), (None, "fail"), (None, "pass"), (None, "fail")]
    assert told[1].detail == (
        "b.example: not registered as same-1: node same-1 exists already, at a.example: two machines call themselves "
        "so. Add this one by another name: clusterctl node add LABEL --addr b.example"
    )
    assert told[2].detail == "c.example: not registered: no route"
    assert (job.status, job.error) == ("Errored", f"{told[1].detail} (and 1 more)")


def test_only_machines_that_passed_are_registered_when_the_job_failed(store: Store) -> None:
    job_id = job_on(store, "a.example", "b.example")
    job, told = end(store, job_id, "configure failed on b.example", a_example=machine("a", "1", "a.example"))
    assert (job.status, job.error) == ("Errored", "configure failed on b.example")
    assert [(e.node, e.result, e.detail) for e in told] == [
        ("a-1", "pass", "at a.example"),
        (None, "fail", "b.example: configure failed on b.example"),
    ]


def test_a_machine_that_monitoring_knows_already_stays_what_it_is(store: Store) -> None:
    first = job_on(store, "a.example")
    end(store, first, None, a_example=machine("a", "1", "a.example"))
    with store.write() as session:
        job_events.set_status(nodes.get(session, "a-1"), "Allocated")  # type: ignore[arg-type]
    _, told = end(store, job_on(store, "a.example"), None, a_example=machine("a", "1", "a.example"))
    assert [(e.node, e.result, e.changes) for e in told] == [("a-1", "pass", {})]
    with store.read() as session:
        assert nodes.get(session, "a-1").status == "Allocated"


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"hostname": "web1", "product_serial": "4C4C", "machine_id": "ffee"}, "web1-4C4C"),
        ({"hostname": "web1", "product_serial": " VMware-56 4d\n", "machine_id": "ffee"}, "web1-VMware-56-4d"),
        *(
            ({"hostname": "web1", "product_serial": serial, "machine_id": "ffee"}, "web1-ffee")
            for serial in (
                "",
                "NA",
                "None",
                "To Be Filled By O.E.M.",
                "Default string",
                "System Serial Number",
                "000",
                "\n",
            )
        ),
        ({"hostname": "web1"}, "web1-a.example"),
        ({"hostname": "../etc/{{x}}", "machine_id": "$(id)"}, "etc-x-id"),
        ({"hostname": "ü", "product_serial": "y" * 500}, "a.example-" + "y" * 128),
    ],
)
def test_a_machine_is_called_by_its_name_and_serial(tmp_path: Path, facts: dict[str, str], name: str) -> None:
    (tmp_path / "facts").mkdir()
    (tmp_path / "facts" / "connections.json").write_text('{"a.example": "ssh"}')
    (tmp_path / "facts" / "a.example.json").write_text(json.dumps(facts))
    found = identify(plan(tmp_path), tmp_path, ["a.example"], lambda: False)["a.example"]
    assert isinstance(found, MonitoredNode)
    assert (found.name, found.addr) == (name, "a.example")


def plan(root: Path) -> JobSpec:
    settings = Settings.model_validate({"manager": {"state_dir": str(root / "state")}})
    job = Job.model_construct(id=1, action=Action.DISCOVER, nodes=["a.example"], host_group="", check=False)  # type: ignore[call-arg]
    return JobSpec.load(prepare(settings, job, [], {}, {}))


@pytest.mark.parametrize("gather", ["true", "false"])
def test_a_real_machine_is_a_node_when_the_job_is_done(new_clusterm: Clusterm, gather: str) -> None:
    new_clusterm.write_playbook("site.yml", LOCAL.format(gather=gather))
    clusterm = new_clusterm.start()
    job = clusterm.run("discover", ["127.0.9.9"])
    assert (job["status"], [step["name"] for step in job["steps"]]) == ("Complete", ["configure"])
    (name,) = clusterm.get("/info/nodes")
    event = clusterm.get("/info/jobs/timeline")["items"][-1]
    assert (event["node"], event["result"], event["detail"]) == (name, "pass", "at 127.0.9.9")
    hostname = Path("/proc/sys/kernel/hostname").read_text().strip().partition(".")[0]
    assert name.startswith(f"{hostname}-")
    assert clusterm.get(f"/info/node/{name}")["monitoring_state"]["management_address"] == "127.0.9.9"
    assert clusterm.post("/discover/nodes", {"addrs": ["127.0.9.9"]}).status_code == 409
    if gather == "false":
        return

    def told_of(*addresses: str) -> tuple[Any, ...]:
        assert clusterm.run("discover", addresses)["status"] == "Complete"
        assert list(clusterm.get("/info/nodes")) == [name]
        event = clusterm.get("/info/jobs/timeline")["items"][-1]
        return event["node"], event["result"], event["detail"].partition("(")[0]

    here = "127.0.9.8: not registered: the playbook did not connect to it, but ran on clusterm's machine "
    assert told_of("127.0.9.7-8") == (None, "pass", here)
    assert clusterm.post("/config", {"config": {"ansible": {"register_discovered": False}}}).is_success
    assert told_of("127.0.9.8") == (None, "pass", "127.0.9.8")
    wait_for(lambda: not clusterm.processes(), "the job's processes to end")


def test_an_executor_that_takes_over_asks_the_machines_again(new_clusterm: Clusterm) -> None:
    gate = new_clusterm.root / "gate"
    new_clusterm.write_playbook("site.yml", LOCAL.format(gather="false"))
    program = f"""
        import os, pathlib, sys, time
        if sys.argv[-1].endswith("facts.yml"):
            pathlib.Path({str(gate)!r}).touch()
            while {str(gate)!r} and not pathlib.Path({str(gate)!r} + ".open").exists():
                time.sleep(0.01)
        program = {str(Path(sys.executable).with_name("ansible-playbook"))!r}
        os.execv(program, [program, *sys.argv[1:]])
    """
    new_clusterm.use_program(program)
    clusterm = new_clusterm.start()
    job: dict[str, Any] = clusterm.begin("discover", ["127.0.9.9"])
    wait_for(gate.exists, "ansible to be asked for facts")
    (executor,) = clusterm.executors()
    executor.kill()
    gate.with_name("gate.open").touch()
    assert clusterm.ended(job)["status"] == "Complete"
    assert len(clusterm.get("/info/nodes")) == 1
