"""Registration of discovered machines when their job ends."""

from datetime import UTC, datetime
from typing import Any

from support.rows import read_timeline

from clusterm.enums import Action, JobStatus, State, StepName
from clusterm.jobs import completion
from clusterm.jobs import events as job_events
from clusterm.schemas import Event, Job, MonitoredNode
from clusterm.store import job_views, nodes, tables
from clusterm.store import jobs as rows
from clusterm.store.engine import Store


def job_on(store: Store, *addresses: str, **extra_vars: Any) -> int:
    with store.write() as session:
        now = datetime.now(UTC)
        running = JobStatus.RUNNING
        job = tables.Job(
            action=Action.DISCOVER,
            status=running,
            host_group="",
            extra_vars=extra_vars,
            requested_by="ann",
            created_at=now,
        )
        session.add(job)
        session.flush()
        for position, address in enumerate(addresses):
            session.add(tables.JobNode(job_id=job.id, position=position, node=address, held=True))
        step = tables.JobStep(job_id=job.id, number=1, name=StepName.CONFIGURE, playbook="site.yml", started_at=now)
        session.add(step)
        return job.id


def machine(label: str, serial: str, addr: str) -> MonitoredNode:
    return MonitoredNode(label=label, serial=serial, addr=addr)


def end(store: Store, job_id: int, error: str | None, **discovered: MonitoredNode | str) -> tuple[Job, list[Event]]:
    found = {name.replace("_", "."): node for name, node in discovered.items()}
    completion.finish(store, job_id, error, completion.Findings(discovered=found))
    with store.read() as session:
        told = [event for event in read_timeline(session) if event.job == job_id]
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


def test_the_port_of_the_job_is_that_of_its_machines(store: Store) -> None:
    found = machine("a", "1", "a.example")
    _, told = end(store, job_on(store, "a.example", ansible_port=2201), None, a_example=found)
    assert (told[0].node, told[0].detail) == ("a-1", "at a.example:2201")
    with store.write() as session:
        node = nodes.get(session, "a.example:2201")
        assert node.inventory_vars == {"ansible_port": 2201}
        node.state = State.DISAPPEARED
    other = machine("b", "2", "a.example")
    end(store, job_on(store, "a.example", ansible_port="2202"), None, a_example=other)
    _, told = end(store, job_on(store, "a.example", ansible_port=2203), None, a_example=found)
    assert told[0].changes["vars.ansible_port"] == [2201, 2203]
    with store.write() as session:
        node = nodes.get(session, "a-1")
        node.state, node.encrypted = State.DISAPPEARED, "not readable here"
    job, told = end(store, job_on(store, "a.example", ansible_port=2204), None, a_example=found)
    assert (job.status, told[0].result) == ("Errored", "fail")
    assert "set its port by `clusterctl node set a-1 ansible_port=2204`" in job.error
    with store.read() as session:
        assert {str(node.place) for node in nodes.list_all(session)} == {"a.example:2202", "a.example:2203"}


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
