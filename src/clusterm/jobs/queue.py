"""Starts queued jobs in their turn."""

from clusterm.common.actions import ACTIONS
from clusterm.enums import JobStatus
from clusterm.jobs.admission import evaluate_queued
from clusterm.jobs.completion import end_job
from clusterm.jobs.events import job_logger, log_end
from clusterm.jobs.progress import NodeOutcome
from clusterm.jobs.start import start_job
from clusterm.settings import Settings
from clusterm.store import job_records, job_views, runtime_values
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.job_records import JobRecord


def begin_queued(store: Store, settings: Settings) -> None:
    """Start queued jobs, the oldest first, up to `max_active_jobs`.

    A job whose nodes are in another job keeps waiting, and so do later jobs on the same nodes. A job that violates a
    rule by now ends.
    """
    with store.read() as session:
        if not job_queries.queued(session):
            return
    changed = []
    with store.write() as session:
        if runtime_values.get(session, runtime_values.DRAIN):
            return
        room = settings.manager.max_active_jobs - len(job_queries.running(session))
        taken = job_queries.held_nodes(session)
        for job in job_queries.queued(session):
            record = job_records.load(session, job)
            names = record.names
            if room > 0 and taken.isdisjoint(names):
                if violations := evaluate_queued(session, job, names, settings):
                    reason = f"not started when its turn came: {violations[0].refusal}"
                    end_job(session, settings.retention, record, _none_begun(record), JobStatus.ERRORED, reason)
                    changed.append(job_views.from_record(session, record))
                    continue
                start_job(session, job, names)
                changed.append(job_views.from_record(session, record))
                room -= 1
            taken.update(names)
    for each in changed:
        if each.status is JobStatus.RUNNING:
            job_logger(each).info("its turn has come: started", extra={"status": each.status})
        else:
            log_end(each)


def _none_begun(record: JobRecord) -> list[NodeOutcome]:
    """Return the outcomes of a job that was refused when its turn came."""
    on_nodes = ACTIONS[record.row.action].on_nodes
    return [NodeOutcome(name, name if on_nodes else None, begun=False) for name in record.names]
