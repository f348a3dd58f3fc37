"""Events and service log lines of jobs."""

import logging
from datetime import UTC, datetime

from clusterm import schemas
from clusterm.common.service_log import JobLogger
from clusterm.enums import Cause, EventName, JobStatus, Result, Status
from clusterm.nodes.changes import Changes
from clusterm.store import tables

log = logging.getLogger(__name__)


def job_event(
    job: tables.Job,
    node: str | None,
    event: EventName,
    *,
    changes: Changes,
    result: Result | None = None,
    detail: str | None = None,
) -> tables.Event:
    """Return an event that a job caused."""
    return tables.Event(
        at=datetime.now(UTC),
        node=node,
        event=event,
        result=result,
        job_id=job.id,
        detail=detail,
        cause=Cause.JOB,
        by=job.requested_by,
        changes=changes,
    )


def set_status(node: tables.Node, status: Status) -> Changes:
    """Set a node's status, and return the change."""
    node.prev_status, node.status = node.status, status
    return {"status": [node.prev_status, status]}


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
