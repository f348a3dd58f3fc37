"""Finds contradictions in the database: damaged pages, changed logs, and nodes that do not match their jobs."""

from collections.abc import Iterator

from sqlmodel import Session, col, select

from clusterm.common.actions import NODE_ACTIONS
from clusterm.enums import JobStatus, Status
from clusterm.store import definitions, log_reader, nodes, tables
from clusterm.store.engine import Store


def damage(store: Store) -> list[str]:
    """Return what the database finds wrong in its pages and references; SQLite reads the whole file.

    Raises:
        StoreError: the database cannot be read.
    """
    return store.problems()


def changed_logs(store: Store) -> Iterator[str]:
    """Yield the ended jobs whose log is not the one with which they ended; this reads all logs.

    Raises:
        StoreError: the database cannot be read.
    """
    job = tables.Job
    with store.read() as session:
        ended = session.exec(select(job.id, job.sha256).where(col(job.sha256).is_not(None)).order_by(col(job.id))).all()
    for job_id, sha256 in ended:
        with store.read() as session:
            present = session.get(job, job_id)
            if present is None or present.sha256 != sha256:  # the service deletes it meanwhile
                continue
        if (found := log_reader.digest(store, job_id).sha256) != sha256:
            yield f"the log of job {job_id} has changed since the job ended: its SHA-256 is {found}, not {sha256}"


def contradictions(session: Session) -> Iterator[str]:
    """Yield the nodes and jobs that do not match.

    Args:
        session: a reading transaction.
    """
    job, of_job = tables.Job, tables.JobNode
    held = select(of_job.node, job).join(job, col(job.id) == col(of_job.job_id))
    working: set[tuple[str, Status]] = set()
    for name, holder in session.exec(held.where(col(of_job.held))):
        if holder.status is not JobStatus.RUNNING:
            yield f"node {name} is reserved for job {holder.id}, which is {holder.status}"
        elif (transition := definitions.of_job(holder).transition) and transition.running:
            working.add((name, transition.running))
    busy = {transition.running: spec.name for spec in NODE_ACTIONS if (transition := spec.transition)}
    for node in nodes.list_all(session):
        if node.status in busy and (node.name, node.status) not in working:
            yield f"node {node.name} is {node.status}, but no {busy[node.status]} is running on it"
