"""Stops queued and running jobs."""

from datetime import UTC, datetime
from pathlib import Path

from clusterm import schemas
from clusterm.common import stop_file
from clusterm.enums import JobStatus
from clusterm.errors import Conflict
from clusterm.jobs.admission import known_job
from clusterm.jobs.completion import close
from clusterm.jobs.events import job_logger, log_end, stopping_event
from clusterm.jobs.requests import Requester
from clusterm.problem_codes import ProblemCode
from clusterm.store import events, idempotency_keys, job_records, job_views
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store


def adopt(store: Store, directory: Path, job_id: int) -> None:
    """Record the stop of a job that was requested while the store could not be written.

    Args:
        store: the store.
        directory: the job's directory.
        job_id: the job.
    """
    request = stop_file.read(directory)
    if request is None:
        return
    with store.read() as session:
        job = job_queries.get(session, job_id)
        if job_queries.has_ended(job) or (job.stop_status is not None and (request.cleanup or not job.stop_cleanup)):
            return
    with store.write() as session:
        job = job_queries.get(session, job_id)
        if job_queries.has_ended(job):
            return
        if job.stop_status is None:
            job.stop_status, job.stop_reason = JobStatus.CANCELLED, request.reason
            job.stop_requested_by, job.stop_requested_at = request.by, request.at
            events.append(session, [stopping_event(job)])
        if not request.cleanup:
            job.stop_cleanup = False


def request_stop(
    store: Store, label: str, status: JobStatus, reason: str, *, requester: Requester | None, cleanup: bool
) -> schemas.Job:
    """Stop a job: a queued job ends at once, a running one when its executor has stopped ansible.

    Args:
        store: the store.
        label: `active`, `last` or the job's id.
        status: the status it ends with.
        reason: becomes the job's error.
        requester: the sender of the request; None for a timeout.
        cleanup: whether the cleanup playbook runs after a configure playbook that was stopped.

    Raises:
        RequestRefused: there is no such job, or it has ended.
    """
    with store.write() as session:
        if requester and (known := known_job(session, requester)):
            return known
        job = job_queries.resolve(session, label)
        if job_queries.has_ended(job):
            raise Conflict(f"job {job.id} has ended already: it is {job.status}", ProblemCode.JOB_ENDED)
        if job.stop_status is None:
            job.stop_status, job.stop_reason = status, reason
            job.stop_requested_by, job.stop_requested_at = (requester.name if requester else None), datetime.now(UTC)
            if job.status is JobStatus.RUNNING:
                events.append(session, [stopping_event(job)])
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
