"""Deletes the jobs and events that the retention settings do not keep, in short transactions that delay no writer."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import delete, func, select
from sqlmodel import Session, col

from clusterm.enums import ENDED, JobStatus, Outcome
from clusterm.settings import RetentionSettings
from clusterm.store import events, manifests, tables, telemetry
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store

_ROWS: Final = 2000
"""Lines or events that one transaction deletes."""


class Surplus(NamedTuple):
    """A job to delete, and the reason."""

    job_id: int
    action: str
    nodes: list[str]
    bytes: int
    reason: str
    trace_id: str | None = None


def surplus(session: Session, retention: RetentionSettings) -> list[Surplus]:
    """Return the ended jobs to delete, the oldest first.

    The last job that each node has passed, and the last one that it has failed, are always kept.
    """
    job = tables.Job
    rows = session.connection().execute(
        select(col(job.id), col(job.action), col(job.bytes), col(job.finished_at), col(job.trace_id))
        .where(col(job.status).in_(ENDED))
        .order_by(col(job.end_order).desc())
    )
    ended = list(rows)
    kept = _kept_for_nodes(session)
    oldest = datetime.now(UTC) - timedelta(days=retention.days)
    found, count, total = [], 0, 0
    for job_id, action, size, finished_at, trace_id in ended:
        count, total = count + 1, total + size
        if job_id in kept:
            continue
        if count > retention.jobs:
            reason = f"more than {retention.jobs} jobs"
        elif total > retention.log_bytes:
            reason = f"logs of more than {retention.log_bytes} bytes"
        elif retention.days and finished_at and finished_at < oldest:
            reason = f"older than {retention.days:g} days"
        else:
            continue
        nodes = job_queries.node_names(session, job_id)
        found.append(Surplus(job_id, action, nodes, size, reason, trace_id))
    return found[::-1]


def prune(store: Store, retention: RetentionSettings) -> Iterator[Surplus]:
    """Delete jobs, yield each one after it is deleted, and then return the space to the disk."""
    with store.read() as session:
        found = surplus(session, retention)
    for job in found:
        if delete_job(store, job.job_id):
            yield job
    if found:
        store.reclaim_space()


def prune_events(store: Store, retention: RetentionSettings) -> int:
    """Delete events, and return how many."""
    with store.read() as session:
        found = events.surplus(session, retention.timeline_bounds, retention.node_events)
    for start in range(0, len(found), _ROWS):
        with store.write() as session:
            events.delete(session, found[start : start + _ROWS])
    return len(found)


def _kept_for_nodes(session: Session) -> set[int]:
    """Return the ids of the last jobs that each node passed and failed, without dry runs and cancelled jobs."""
    job, of_node, node = tables.Job, tables.JobNode, tables.Node
    last = (
        select(func.max(col(job.end_order)))
        .join(of_node, col(of_node.job_id) == col(job.id))
        .join(node, col(node.name) == col(of_node.node))
        .where(
            col(job.status).in_({JobStatus.COMPLETE, JobStatus.ERRORED}),
            col(job.check).is_(False),
            col(of_node.outcome).in_({Outcome.PASSED, Outcome.FAILED, Outcome.UNDONE}),
        )
        .group_by(col(of_node.node), col(of_node.outcome) == Outcome.PASSED)
    )
    return set(session.scalars(select(col(job.id)).where(col(job.end_order).in_(last))))


def delete_job(store: Store, job_id: int) -> bool:
    """Delete a job, its log first, in several transactions.

    Meanwhile, readers see that the log is incomplete.

    Returns:
        False if another process has deleted the job.
    """
    line = tables.LogLine
    with store.write() as session:
        job = session.get(tables.Job, job_id)
        if job is None:
            return False
        job.incomplete, job.sha256 = True, None
    deleted = True
    while deleted:
        with store.write() as session:
            seqs = select(col(line.seq)).where(col(line.job_id) == job_id).order_by(col(line.seq)).limit(_ROWS)
            last = session.scalars(select(func.max(seqs.subquery().c.seq))).one()
            if deleted := last is not None:
                session.execute(delete(line).where(col(line.job_id) == job_id, col(line.seq) <= last))
    with store.write() as session:
        if (job := session.get(tables.Job, job_id)) is not None:
            telemetry.record_deletion(session, job)
        session.execute(delete(tables.Job).where(col(tables.Job.id) == job_id))
        manifests.prune(session)
    return True
