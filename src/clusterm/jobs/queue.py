"""Starts queued jobs in their turn, and explains why they wait."""

from collections.abc import Mapping

from clusterm import schemas
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
from clusterm.store.session import Session


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


def waits(session: Session, max_active: int) -> Mapping[int, schemas.Wait]:
    """Return why each queued job waits, by its id, in the order of the queue.

    Args:
        session: any transaction.
        max_active: how many jobs may run at a time.
    """
    queued = job_queries.queued(session)
    if not queued:
        return {}
    drained = bool(runtime_values.get(session, runtime_values.DRAIN))
    taken: dict[str, int] = {}
    running = job_queries.running(session)
    for job in running:
        taken |= dict.fromkeys(job_queries.node_names(session, job.id), job.id)
    room = max_active - len(running)
    found = {}
    for place, job in enumerate(queued, start=1):
        names = job_queries.node_names(session, job.id)
        blocking = next((taken[name] for name in names if name in taken), None)
        shared = [name for name in names if taken.get(name) == blocking] if blocking is not None else []
        if drained:
            reason = "the service is drained"
        elif blocking is not None:
            more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
            reason = f"job {blocking} has not ended on {shared[0]}{more}"
        elif room <= 0:
            reason = f"{max_active} job{'s' if max_active > 1 else ''} may run at a time (manager.max_active_jobs)"
        else:
            reason = "it starts in a moment"
            room -= 1
        found[job.id] = schemas.Wait(place=place, queued=len(queued), reason=reason, job=blocking, nodes=shared)
        for name in names:
            taken.setdefault(name, job.id)
    return found


def _none_begun(record: JobRecord) -> list[NodeOutcome]:
    """Return the outcomes of a job that was refused when its turn came."""
    on_nodes = ACTIONS[record.row.action].on_nodes
    return [NodeOutcome(name, name if on_nodes else None, begun=False) for name in record.names]
