"""Events and service log lines of jobs."""

import logging
from collections.abc import Sequence

from clusterm import schemas
from clusterm.common.service_log import JobLogger
from clusterm.enums import Cause, EventName, JobStatus, Result, Status
from clusterm.nodes.changes import Changes
from clusterm.store import events, job_views, tables

log = logging.getLogger(__name__)


def job_event(
    job: tables.Job,
    node: str | None,
    event: EventName,
    *,
    changes: Changes | None = None,
    result: Result | None = None,
    detail: str | None = None,
    by: str | None = None,
) -> tables.Event:
    """Return an event that a job caused.

    Args:
        job: the job.
        node: the name of the node; None for an event about the job, or about an address without a node.
        event: what happened.
        changes: what it changed: each member with its old and its new value.
        result: how the job ended.
        detail: more about it, in a few words.
        by: the name of the requester, if it is not that of the job.
    """
    return events.new(
        node,
        event,
        cause=Cause.JOB,
        changes=changes,
        detail=detail,
        result=result,
        job_id=job.id,
        by=by or job.requested_by,
        action=job.action if event in {EventName.ACTION_BEGAN, EventName.ACTION_ENDED} else None,
    )


def accepted_event(job: tables.Job, names: Sequence[str]) -> tables.Event:
    """Return the event that a job was accepted: it is queued, or has started."""
    event = EventName.QUEUED if job.status is JobStatus.QUEUED else EventName.STARTED
    again = f", as a retry of job {job.retry_of}" if job.retry_of else ""
    return job_event(job, None, event, detail=f"{job_views.describe(job, names)}{again}")


def stopping_event(job: tables.Job) -> tables.Event:
    """Return the event that a running job is to be stopped."""
    return job_event(job, None, EventName.STOPPING, detail=job.stop_reason, by=job.stop_requested_by)


def ended_event(job: tables.Job, former: JobStatus) -> tables.Event:
    """Return the event that a job has ended.

    Args:
        job: the ended job.
        former: its status before.
    """
    refused = former is JobStatus.QUEUED and job.status is JobStatus.ERRORED
    return job_event(
        job,
        None,
        EventName.REFUSED if refused else EventName.ENDED,
        changes={"status": [former, job.status]},
        result=Result.PASS if job.status is JobStatus.COMPLETE else Result.FAIL,
        detail=job.error or None,
        by=job.stop_requested_by,
    )


def set_status(node: tables.Node, status: Status) -> Changes:
    """Set a node's status, and return the change."""
    former, node.prev_status, node.status = node.status, node.status, status
    return {} if former is status else {"status": [former, status]}


def job_logger(job: schemas.Job) -> JobLogger:
    """Return a logger whose lines name the job."""
    return JobLogger(log, job.id, job.action, job.nodes, job.trace_id)


def log_begun(job: schemas.Job) -> None:
    """Log that a job was accepted."""
    what = "queued" if job.status is JobStatus.QUEUED else "started"
    again = f", as a retry of job {job.retry_of}" if job.retry_of else ""
    about = {"status": job.status, "requested_by": job.requested_by}
    job_logger(job).info("accepted from %s and %s%s", job.requested_by, what, again, extra=about)


def log_end(job: schemas.Job) -> None:
    """Log how a job ended."""
    seconds = job.seconds or 0.0
    level = logging.INFO if job.status is JobStatus.COMPLETE else logging.WARNING
    how = f"{job.status}: {job.error}" if job.error else job.status
    about = {"status": job.status, "seconds": seconds, "error": job.error or None}
    job_logger(job).log(level, "ended after %.1f s, %s", seconds, how, extra=about)
