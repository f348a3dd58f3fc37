"""Starts queued jobs in their turn, and explains why they wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clusterm import schemas
from clusterm.enums import JobStatus
from clusterm.jobs.admission import evaluate_queued
from clusterm.jobs.completion import end_job
from clusterm.jobs.events import job_logger, log_end
from clusterm.jobs.progress import NodeOutcome
from clusterm.jobs.start import start_job
from clusterm.store import definitions, job_records, job_views, runtime_values, tables
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.job_records import JobRecord
from clusterm.store.session import Session

if TYPE_CHECKING:
    from clusterm.settings import Settings


def begin_queued(store: Store, settings: Settings) -> None:
    """Start queued jobs, the oldest first, up to `max_active_jobs`.

    A job whose nodes are in another job keeps waiting, and so do later jobs on the same nodes. A job that violates a
    rule by now ends.
    """
    with store.read() as session:
        if job_queries.first_queued(session) is None:
            return
    changed = []
    with store.write() as session:
        if runtime_values.get(session, runtime_values.DRAIN):
            return
        line = _Line(session, settings.manager.max_active_jobs)
        for job in line.queued:
            if line.obstacle(job) is not None:
                line.take(job.id)
                continue
            record = job_records.load(session, job)
            if violations := evaluate_queued(session, job, record.names, settings):
                reason = f"not started when its turn came: {violations[0].refusal}"
                end_job(session, record, _none_begun(record), JobStatus.ERRORED, reason)
            else:
                start_job(session, job, record.names)
                line.start(job)
                line.take(job.id)
            changed.append(job_views.from_record(session, record))
    for each in changed:
        if each.status is JobStatus.RUNNING:
            job_logger(each).info("its turn has come: started", extra={"status": each.status})
        else:
            log_end(each)


@dataclass(frozen=True)
class Waiting:
    """A queued job, its nodes or addresses, and why it waits."""

    job: tables.Job
    names: Sequence[str]
    wait: schemas.Wait


def waits(session: Session, max_active: int) -> Iterator[Waiting]:
    """Yield why each queued job waits, in the order of the queue.

    Args:
        session: any transaction.
        max_active: how many jobs may run at a time.
    """
    drained = bool(runtime_values.get(session, runtime_values.DRAIN))
    line = _Line(session, max_active)
    for place, job in enumerate(line.queued, start=1):
        obstacle = line.obstacle(job)
        if obstacle is None:
            line.start(job)
            obstacle = _Obstacle("it starts in a moment")
        line.take(job.id)
        reason = "the service is drained" if drained else obstacle.reason
        wait = schemas.Wait(
            place=place, queued=len(line.queued), reason=reason, job=obstacle.job, nodes=list(obstacle.nodes)
        )
        yield Waiting(job, line.names(job.id), wait)


@dataclass(frozen=True)
class _Obstacle:
    """What keeps a job from starting now."""

    reason: str
    job: int | None = None
    """The job that has not ended on some of its nodes."""
    nodes: Sequence[str] = ()
    """These nodes."""


class _Line:
    """The queue, walked along from its first job: which nodes are taken, and how many more jobs may start.

    Args:
        session: a transaction.
        max_active: how many jobs may run at a time.
    """

    def __init__(self, session: Session, max_active: int) -> None:
        self.queued = job_queries.queued(session)
        self._names = job_queries.unended_nodes(session)
        self._taken: dict[str, int] = {}
        running = job_queries.running(session)
        self._running = Counter(job.action for job in running)
        for job in running:
            self.take(job.id)
        self._max_active = max_active
        self._room = max_active - len(running)

    def names(self, job_id: int) -> Sequence[str]:
        """Return the nodes or addresses of a job."""
        return self._names.get(job_id, ())

    def obstacle(self, job: tables.Job) -> _Obstacle | None:
        """Return what keeps a job from starting; None if it may."""
        names = self.names(job.id)
        blocking = next((self._taken[name] for name in names if name in self._taken), None)
        if blocking is not None:
            shared = [name for name in names if self._taken.get(name) == blocking]
            more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
            return _Obstacle(f"job {blocking} has not ended on {shared[0]}{more}", blocking, shared)
        if self._room <= 0:
            jobs = "1 job" if self._max_active == 1 else f"{self._max_active} jobs"
            return _Obstacle(f"{jobs} may run at a time (manager.max_active_jobs)")
        most = definitions.of_job(job).max_jobs
        if most and self._running[job.action] >= most:
            return _Obstacle(f"{most} {job.action} jobs may run at a time (max_jobs)")
        return None

    def start(self, job: tables.Job) -> None:
        """Count a further job that runs."""
        self._room -= 1
        self._running[job.action] += 1

    def take(self, job_id: int) -> None:
        """Keep later jobs from the nodes of a job that runs or waits."""
        for name in self.names(job_id):
            self._taken.setdefault(name, job_id)


def _none_begun(record: JobRecord) -> list[NodeOutcome]:
    """Return the outcomes of a job that was refused when its turn came."""
    on_nodes = definitions.of_job(record.row).on_nodes
    return [NodeOutcome(name, name if on_nodes else None, begun=False) for name in record.names]
