"""Events and service log lines of jobs."""

import logging
from datetime import UTC, datetime
from typing import Final

from clusterm import schemas
from clusterm.common.service_log import JobLog
from clusterm.enums import Action, Cause, EventName, JobStatus, Result, Status
from clusterm.nodes.changes import Changes
from clusterm.store import tables

log = logging.getLogger(__name__)

_EVENT_OF: Final = {
    Action.COMMISSION: EventName.COMMISSIONED,
    Action.DECOMMISSION: EventName.DECOMMISSIONED,
    Action.UPDATE: EventName.UPDATED,
    Action.DISCOVER: EventName.DISCOVERED,
}
_BEGINNING_OF: Final = {
    Action.COMMISSION: EventName.COMMISSIONING,
    Action.DECOMMISSION: EventName.DECOMMISSIONING,
    Action.UPDATE: EventName.UPDATING,
}


def _event(
    job: tables.Job,
    node: str | None,
    event: EventName,
    *,
    changes: Changes,
    result: Result | None = None,
    detail: str | None = None,
) -> tables.Event:
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


def _set_status(node: tables.Node, status: Status) -> Changes:
    node.prev_status, node.status = node.status, status
    return {"status": [node.prev_status, status]}


def _about(job: schemas.Job) -> JobLog:
    return JobLog(log, job.id, job.action, job.nodes)


def _log_begun(job: schemas.Job) -> None:
    what = "queued" if job.status is JobStatus.QUEUED else "started"
    again = f", as job {job.retry_of} once more" if job.retry_of else ""
    about = {"status": job.status, "requested_by": job.requested_by}
    _about(job).info("accepted from %s and %s%s", job.requested_by, what, again, extra=about)


def _log_end(job: schemas.Job) -> None:
    seconds = (job.finished_at - job.started_at).total_seconds() if job.finished_at and job.started_at else 0.0
    level = logging.INFO if job.status is JobStatus.COMPLETE else logging.WARNING
    how = f"{job.status}: {job.error}" if job.error else job.status
    about = {"status": job.status, "seconds": seconds, "error": job.error or None}
    _about(job).log(level, "ended after %.1f s, %s", seconds, how, extra=about)
