"""Rows of a store: jobs with a log, and jobs for pruning."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from clusterm import schemas
from clusterm.common.trace_context import new_span_id, new_trace_id
from clusterm.enums import ENDED, Action, EventKind, JobStatus, Outcome, State, Status, StepName, TaskStatus
from clusterm.settings import RetentionSettings
from clusterm.store import events, tables, task_results
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.log_lines import append
from clusterm.store.retention import prune_events
from clusterm.store.session import Session

BEGAN: Final = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
"""The start of the jobs of `add_logged_job`."""

NOW: Final = datetime.now(UTC)
"""The end of the jobs of `add_plain_job`."""


def read_timeline(session: Session, bound: int = 10**6, *, limit: int = 10**6, **terms: Any) -> list[schemas.Event]:
    """Return the timeline with the same bound for each kind of event.

    Args:
        session: any transaction.
        bound: how many events of a kind it contains.
        limit: the most to return.
        terms: members of `events.TimelineFilter`, and `before` and `after`.
    """
    pages = {name: terms.pop(name) for name in ("before", "after") if name in terms}
    wanted = events.TimelineFilter(**terms)
    return events.timeline(session, dict.fromkeys(EventKind, bound), wanted, limit=limit, **pages)


def add_events(store: Store, *new: tables.Event, timeline: int | None = None, node_events: int = 10**6) -> None:
    """Append events, and delete what is outside of the bounds; without `timeline` nothing is deleted."""
    with store.write() as session:
        events.append(session, new)
    if timeline is not None:
        bounds = {"timeline": timeline, "job_events": timeline, "admin_events": timeline}
        prune_events(store, RetentionSettings(**bounds, node_events=node_events))


def add_logged_job(store: Store, lines: int, *, status: JobStatus = JobStatus.COMPLETE, **columns: Any) -> int:
    """Store a job whose log has a line per minute: ten of each task, in turn of node1-a and node2-b."""
    with store.write() as session:
        order = None if status is JobStatus.RUNNING else job_queries.next_end_order(session)
        defaults = {"action": Action.UPDATE, "host_group": "", "extra_vars": {}, "requested_by": "test"}
        times = {"created_at": BEGAN, "started_at": BEGAN}
        job = tables.Job(**{"status": status, "lines": lines, "end_order": order, **defaults, **times, **columns})
        session.add(job)
        session.flush()
        session.add_all(
            tables.JobTask(job_id=job.id, number=number, step=1, play="Configure", name=f"role : Install {name}")
            for number, name in enumerate(["etcd", "Docker", "ceph", "etcd-client", "vim", "curl"], start=1)
        )
        append(session, [_line(job.id, seq) for seq in range(1, lines + 1)])
        return job.id


def _line(job_id: int, seq: int) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "seq": seq,
        "at": BEGAN + timedelta(minutes=seq),
        "text": f"line {seq}" + (" has an Error: [Straße] 100%" if seq in {7, 44} else ""),
        "partial": False,
        "task": (seq - 1) // 10 + 1 if seq <= 60 else None,
        "node": "node2-b" if seq % 2 else "node1-a",
    }


def add_result(store: Store, job_id: int, number: int, status: TaskStatus, first: int, last: int) -> None:
    """Store a result of node1-a in the first task of a job, with the range of its lines."""
    with store.write() as session:
        result = tables.TaskResult(job_id=job_id, number=number, task=1, node="node1-a", status=status)
        result.first_line, result.last_line = first, last
        session.add(result)


def add_node_row(store: Store, name: str) -> None:
    """Store a node."""
    label, _, serial = name.rpartition("-")
    with store.write() as session:
        node = tables.Node(
            name=name,
            label=label,
            serial=serial,
            address="127.0.1.1",
            status=Status.UNALLOCATED,
            prev_status=Status.UNALLOCATED,
            state=State.DISCOVERED,
            prev_state=State.DISCOVERED,
            host_group="service-master",
        )
        session.add(node)


def add_plain_job(
    store: Store,
    *nodes: str,
    status: JobStatus = JobStatus.COMPLETE,
    outcomes: Mapping[str, Outcome] = MappingProxyType({}),
    **columns: Any,
) -> int:
    """Store a job that ended after all jobs in the store, unless `status` is that of a job that has not ended.

    Nodes without an outcome in `outcomes` have passed if the job is complete, and else failed.
    """
    usual = Outcome.PASSED if status is JobStatus.COMPLETE else Outcome.FAILED
    with store.write() as session:
        ended = status in ENDED
        columns = {"finished_at": NOW if ended else None, **columns}
        job = tables.Job(
            action=Action.DECOMMISSION,
            status=status,
            host_group="",
            extra_vars={},
            requested_by="somebody",
            created_at=NOW,
            end_order=job_queries.next_end_order(session) if ended else None,
            **columns,
        )
        session.add(job)
        session.flush()
        for position, node in enumerate(nodes or ["a-1"], start=1):
            outcome = outcomes.get(node, usual) if ended else None
            session.add(tables.JobNode(job_id=job.id, position=position, node=node, held=False, outcome=outcome))
        return job.id


def add_traced_job(store: Store, *, tasks: int, nodes: int = 1, **columns: Any) -> int:
    """Store an ended job with a play whose tasks have run on each node; every seventh node has failed them."""
    with store.write() as session:
        defaults = {"action": Action.UPDATE, "status": JobStatus.ERRORED, "error": "failed", "host_group": ""}
        times = {"created_at": BEGAN, "started_at": BEGAN, "finished_at": BEGAN + timedelta(hours=1)}
        ids = {"trace_id": new_trace_id(), "span_id": new_span_id()}
        job = tables.Job(
            **{**defaults, **times, **ids, "extra_vars": {}, "requested_by": "test", "lines": 2500, **columns},
            end_order=job_queries.next_end_order(session),
        )
        session.add(job)
        session.flush()
        job_queries.add_nodes(session, job.id, [f"node{number}-a" for number in range(nodes)])
        step = tables.JobStep(job_id=job.id, number=1, name=StepName.CONFIGURE, playbook="site.yml", exit_status=2)
        step.started_at, step.finished_at, step.first_line = BEGAN, job.finished_at, 2
        session.add(step)
        of_task = {"job_id": job.id, "step": 1, "play": "Play", "path": None, "started_at": BEGAN}
        task_results.add_tasks(
            session,
            [
                {**of_task, "number": number, "name": f"task {number}" if number > 1 else None}
                | {"finished_at": BEGAN + timedelta(seconds=number)}
                for number in range(1, tasks + 2)
            ],
        )
        result = {"job_id": job.id, "retries": 0, "first_line": 1, "last_line": 1, "started_at": BEGAN}
        task_results.add(
            session,
            [
                {
                    **result,
                    "number": task * nodes + node,
                    "task": task,
                    "node": f"node{node}-a",
                    "status": TaskStatus.FAILED if node % 7 == 6 else TaskStatus.OK,
                    "message": "x" * 5000 if node % 7 == 6 else None,
                    "finished_at": BEGAN + timedelta(milliseconds=node),
                }
                for task in range(2, tasks + 2)
                for node in range(nodes)
            ],
        )
        line = {"job_id": job.id, "at": BEGAN, "partial": False, "node": None}
        append(
            session,
            [{**line, "seq": seq, "text": f"line {seq}", "task": 2 if seq == 9 else None} for seq in range(1, 2501)],
        )
        return job.id
