"""Stops queued and running jobs."""

from datetime import UTC, datetime

from clusterm import schemas
from clusterm.enums import JobStatus
from clusterm.errors import Conflict
from clusterm.jobs.admission import known_job
from clusterm.jobs.completion import close
from clusterm.jobs.events import job_logger, log_end
from clusterm.jobs.requests import Requester
from clusterm.store import idempotency_keys, job_records, job_views
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store


def request_stop(
    store: Store, label: str, status: JobStatus, reason: str, *, requester: Requester | None, cleanup: bool
) -> schemas.Job:
    """Ask for the end of a job: a queued one ends at once, a running one when its executor has stopped ansible.

    Args:
        store: the store.
        label: which job.
        status: what it ends as.
        reason: why.
        requester: who asks; None if it is a timeout.
        cleanup: whether a configure playbook that is stopped is cleaned up after.

    Raises:
        RequestRefused: there is no such job, or it has ended.
    """
    with store.write() as session:
        if requester and (known := known_job(session, requester)):
            return known
        job = job_queries.resolve(session, label)
        if job_queries.has_ended(job):
            raise Conflict(f"job {job.id} has ended already: it is {job.status}")
        if job.stop_status is None:
            job.stop_status, job.stop_reason = status, reason
            job.stop_requested_by, job.stop_requested_at = (requester.name if requester else None), datetime.now(UTC)
        if not cleanup:
            job.stop_cleanup = False
        if job.status is JobStatus.QUEUED:
            close(session, job_records.load(session, job), JobStatus.CANCELLED, reason)
        if requester and requester.key is not None:
            idempotency_keys.remember(session, requester.key, requester.digest, job.id)
        session.flush()
        stopped = job_views.to_wire(session, job)
    job_logger(stopped).info("to be stopped: %s", reason, extra={"reason": reason})
    if stopped.status is JobStatus.CANCELLED:
        log_end(stopped)
    return stopped
