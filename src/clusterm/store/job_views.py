"""Jobs as the API shows them."""

from collections.abc import Sequence
from typing import Final

from sqlmodel import Session

from clusterm import schemas
from clusterm.common import batches
from clusterm.common.elapsed import seconds_since
from clusterm.enums import JobStatus, Outcome
from clusterm.store import failures, job_records, tables, task_results
from clusterm.store import jobs as job_queries
from clusterm.store.job_records import JobRecord
from clusterm.store.jobs import node_names, steps

_NAMED: Final = 5
"""Nodes in the description of a job."""

_WORST_FIRST: Final = (Outcome.FAILED, Outcome.UNDONE, Outcome.NOT_REACHED, Outcome.SKIPPED, Outcome.PASSED)

_MAX_BUSY: Final = 5
"""Busy nodes in the summary of a job."""


def describe(job: tables.Job, names: Sequence[str], count: int | None = None) -> str:
    """Return a short description of a job.

    Args:
        job: the job.
        names: its nodes, at least the first ones.
        count: the number of its nodes, unless all are given.
    """
    count = len(names) if count is None else count
    shown = " ".join(names[:_NAMED]) + (f" and {count - _NAMED} more" if count > _NAMED else "")
    group = f" as {job.host_group}" if job.host_group else ""
    return f"{job.action} {shown}{group}{' (check)' if job.check else ''}"


def refer(record: JobRecord) -> str:
    """Return the description and id of a job, for messages about it."""
    return f"{describe(record.row, record.names)} (id {record.row.id})"


def log_end(job: tables.Job) -> schemas.LogEnd:
    """Return the end record of a job's log, for a client that has received every line it asked for."""
    return schemas.LogEnd(
        job=job.id,
        status=job.status,
        lines=job.lines,
        log_incomplete=job.incomplete,
        log_bytes=None if job.sha256 is None else job.bytes,
        log_sha256=job.sha256,
    )


def summary(session: Session, job: tables.Job) -> schemas.JobSummary:
    """Return a job in short."""
    is_running = job.status is JobStatus.RUNNING  # for others, their steps need not be read
    return schemas.JobSummary.model_construct(
        id=job.id,
        desc=describe(job, node_names(session, job.id, limit=_NAMED), job_queries.count_nodes(session, job.id)),
        status=job.status,
        error=job.error,
        requested_by=job.requested_by,
        started_at=job.started_at,
        finished_at=job.finished_at,
        seconds=_seconds(job, job),
        current=_current(session, steps(session, job.id), busy=_MAX_BUSY) if is_running else None,
    )


def _current(
    session: Session, begun: Sequence[tables.JobStep], *, busy: int | None = None
) -> schemas.JobProgress | None:
    """Return the progress of a job with these steps, with at most so many busy nodes; None if no step runs."""
    if not begun or begun[-1].finished_at is not None:
        return None
    current = task_results.current(session, begun[-1])
    return current.model_copy(update={"busy": current.busy[:busy]})


def to_wire(session: Session, job: tables.Job, *, brief: bool = False) -> schemas.Job:
    """Return a job as the API shows it, without its log; if brief, also without what grows with its nodes."""
    if not brief:
        return from_record(session, job_records.load(session, job))
    count = job_queries.count_nodes(session, job.id)
    names = job_queries.node_names(session, job.id, limit=_NAMED)
    shown = _from_rows(session, job, names, list(steps(session, job.id)), describe(job, names, count))
    if shown.current:
        shown.current = shown.current.model_copy(update={"busy": shown.current.busy[:_MAX_BUSY]})
    return shown.model_copy(update={"nodes": []})


def from_record(session: Session, record: JobRecord) -> schemas.Job:
    """Return a job that was read before as the API shows it, without its log."""
    job, names = record.row, record.names
    shown = _from_rows(session, job, names, record.steps, describe(job, names))
    shown.outcomes = {node.node: node.outcome for node in record.nodes if node.outcome}
    shown.recap = {
        node: schemas.Recap.model_validate(job.recap[node])
        for node in dict.fromkeys([*names, *job.recap])  # ansible's order is that of the first results
        if node in job.recap
    }
    shown.failures = failures.of_job(session, job.id)
    return shown


def worst_first(job: schemas.Job) -> list[tuple[str, Outcome]]:
    """Return the nodes of a job that has ended and their outcomes, the failed ones first."""
    return sorted(job.outcomes.items(), key=lambda item: _WORST_FIRST.index(item[1]))


def _from_rows(
    session: Session, job: tables.Job, names: list[str], begun: list[tables.JobStep], desc: str
) -> schemas.Job:
    """Return a job without its outcomes, recap and failures."""
    return schemas.Job.model_construct(
        id=job.id,
        action=job.action,
        desc=desc,
        task=begun[-1].name if begun else "",
        status=job.status,
        error=job.error,
        nodes=names,
        host_group=job.host_group,
        extra_vars=job.extra_vars,
        **dict(schemas.JobTerms.of(job)),
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        seconds=_seconds(job, job),
        requested_by=job.requested_by,
        retry_of=job.retry_of,
        trace_id=job.trace_id,
        cancel_requested_at=job.stop_requested_at if job.stop_requested_by else None,
        cancel_requested_by=job.stop_requested_by,
        lines=job.lines,
        log_incomplete=job.incomplete,
        log_bytes=None if job.sha256 is None else job.bytes,
        log_sha256=job.sha256,
        steps=[
            schemas.Step.model_construct(
                name=step.name,
                playbook=step.playbook,
                batch=step.batch,
                attempt=step.attempt,
                started_at=step.started_at,
                finished_at=step.finished_at,
                seconds=_seconds(step, job),
                exit_status=step.exit_status,
                error=step.error,
                first_line=step.first_line,
            )
            for step in begun
        ],
        batches=[] if job.limit_batch is None else batches.sizes(job.limit_batch, len(names)),
        partial_success=job.partial_success,
        outcomes={},
        recap={},
        current=_current(session, begun),
        warnings=job.warnings,
        provenance=schemas.Provenance.model_validate(job.provenance) if job.provenance else None,
        failures=[],
    )


def _seconds(what: tables.Job | tables.JobStep, job: tables.Job) -> float | None:
    """Return the duration of a job or of one of its steps; until now if it has not ended."""
    if what.started_at is None or what.finished_at is not None:
        return what.seconds
    return seconds_since(what.started_at, job.boot_id, what.started_clock)
