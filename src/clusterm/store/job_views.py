"""Jobs as the API shows them."""

from collections.abc import Sequence
from typing import Final

from sqlmodel import Session

from clusterm import schemas
from clusterm.common import batches
from clusterm.common.elapsed import seconds_since
from clusterm.enums import JobStatus
from clusterm.store import failures, job_records, tables, task_results
from clusterm.store.job_records import JobRecord
from clusterm.store.jobs import node_names, steps

_MAX_BUSY: Final = 5
"""Busy nodes in the summary of a job."""


def describe(job: tables.Job, names: Sequence[str]) -> str:
    """Return a short description of a job."""
    shown = " ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
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
        desc=describe(job, node_names(session, job.id)),
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


def to_wire(session: Session, job: tables.Job) -> schemas.Job:
    """Return a job as the API shows it, without its log."""
    return from_record(session, job_records.load(session, job))


def from_record(session: Session, record: JobRecord) -> schemas.Job:
    """Return a job that was read before as the API shows it, without its log."""
    job, names, begun = record.row, record.names, record.steps
    return schemas.Job.model_construct(
        id=job.id,
        action=job.action,
        desc=describe(job, names),
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
        outcomes={node.node: node.outcome for node in record.nodes if node.outcome},
        recap={
            node: schemas.Recap.model_validate(job.recap[node])
            for node in dict.fromkeys([*names, *job.recap])  # ansible's order is that of the first results
            if node in job.recap
        },
        current=_current(session, begun),
        warnings=job.warnings,
        provenance=schemas.Provenance.model_validate(job.provenance) if job.provenance else None,
        failures=failures.of_job(session, job.id),
    )


def _seconds(what: tables.Job | tables.JobStep, job: tables.Job) -> float | None:
    """Return the duration of a job or of one of its steps; until now if it has not ended."""
    if what.started_at is None or what.finished_at is not None:
        return what.seconds
    return seconds_since(what.started_at, job.boot_id, what.started_clock)
