"""Report of a period as Markdown (CommonMark with GitHub's tables)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from clusterctl.api.models import Json, read
from clusterctl.output.output import View
from clusterctl.views.cells import plain, span, time
from clusterctl.views.jobs import job_duration, job_progress
from clusterm import schemas
from clusterm.enums import Cause, EventKind, JobStatus, Outcome

_MAX_FAILURES: Final = 20
"""Failures that are listed of a job."""

_MAX_NODES: Final = 10
"""Nodes that are named in a row."""

_FAILED: Final = {JobStatus.ERRORED, JobStatus.CANCELLED}


def report(data: Json) -> View:
    """Return the report: what runs and waits, jobs, failures, nodes, and changes of the service."""
    since, until = (datetime.fromisoformat(data[name]).astimezone(UTC) for name in ("since", "until"))
    jobs = [read(schemas.Job, job) for job in data["jobs"]]
    events = [read(schemas.Event, event) for event in data["events"]]
    yield f"# clusterm from {time(since)} to {time(until)}\n\n"
    yield from _service(read(schemas.ServiceStatus, data["status"]))
    running = [(job, raw) for job, raw in zip(jobs, data["jobs"], strict=True) if job.status is JobStatus.RUNNING]
    yield from _section("Running now", (_running(job, raw) for job, raw in running))
    yield from _section("Waiting now", (_waiting(job) for job in jobs if job.status is JobStatus.QUEUED))
    yield "## Jobs\n\n"
    yield from _table(("Job", "What", "By", "Began", "Duration", "Result"), map(_job, jobs), "No job ran.")
    for job in jobs:
        if job.failures or job.status in _FAILED:
            yield from _failed(job)
    of_nodes = (e for e in events if e.kind is EventKind.NODES and e.cause is not Cause.JOB)
    yield from _section("Nodes", map(_event, of_nodes))
    yield from _section("Service and settings", (_event(event) for event in events if event.kind is EventKind.ADMIN))


def _service(status: schemas.ServiceStatus) -> Iterator[str]:
    lacking = "; ".join(f"{name}: {check.why}" for name, check in status.checks.items() if not check.ok)
    ready = "ready" if status.ready else "**not ready**"
    drained = ", drained" if status.drained else ""
    yield f"clusterm {_text(status.version)} at {_text(status.url)}, since {time(status.since)}: {ready}{drained}"
    yield f". {_text(lacking)}\n\n" if lacking else ".\n\n"


def _section(title: str, items: Iterable[str]) -> Iterator[str]:
    lines = [f"- {item}\n" for item in items]
    if lines:
        yield f"## {title}\n\n"
        yield from lines
        yield "\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> Iterator[str]:
    lines = ["| " + " | ".join(_text(value) for value in row) + " |\n" for row in rows]
    if lines:
        yield f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}\n"
        yield from lines
    else:
        yield f"{empty}\n"
    yield "\n"


def _running(job: schemas.Job, raw: Json) -> str:
    busy = job.current.busy if job.current else []
    begun = f"since {time(job.started_at)}, for {job_duration(job)}" if job.started_at else ""
    cancel = f"; cancel requested by {job.cancel_requested_by}" if job.cancel_requested_by else ""
    lines = [f"**Job {job.id}**: {_text(job.desc)}, {begun}{_text(cancel)}: {_text(job_progress(raw))}"]
    lines += (f"{_text(node.node)}: {_text(node.task)}, for {span(node.since, None)}" for node in busy[:_MAX_NODES])
    if len(busy) > _MAX_NODES:
        lines.append(f"{len(busy) - _MAX_NODES} more nodes are busy")
    return "\n  - ".join(lines)


def _waiting(job: schemas.Job) -> str:
    place = f"place {job.wait.place} of {job.wait.queued}, {job.wait.reason}" if job.wait else ""
    return f"**Job {job.id}**: {_text(job.desc)}, since {time(job.created_at)}: {_text(place)}"


def _job(job: schemas.Job) -> Sequence[object]:
    counts = {outcome: sum(each is outcome for each in job.outcomes.values()) for outcome in Outcome}
    nodes = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    result = f"{job.status}: {nodes}" if nodes else job.status
    return job.id, job.desc, job.requested_by, time(job.started_at or job.created_at), job_duration(job), result


def _failed(job: schemas.Job) -> Iterator[str]:
    yield f"### Job {job.id}: {_text(job.desc)}: {job.status}\n\n"
    if job.error:
        yield f"{_text(job.error)}\n\n"
    if job.failures:
        yield from _table(("Node", "Step", "Task", "Message", "Line"), map(_failure, job.failures[:_MAX_FAILURES]), "")
    if len(job.failures) > _MAX_FAILURES:
        yield f"{len(job.failures) - _MAX_FAILURES} more failures: `clusterctl job get {job.id}`\n\n"


def _failure(failure: schemas.Failure) -> Sequence[object]:
    return failure.node, failure.step, failure.task, failure.message, failure.line


def _event(event: schemas.Event) -> str:
    by = f" by {event.by}" if event.by else ""
    detail = f": {event.detail}" if event.detail else ""
    return f"{time(event.at)} {_text(f'{event}{by}{detail}')}"


def _text(value: object) -> str:
    """Return a value on one line, whose characters have no meaning in Markdown or HTML."""
    text = plain(value)
    for character in "\\`*_[]<>|#~":
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;")
