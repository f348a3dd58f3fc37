"""A job together with its nodes and steps, read once for a whole transaction."""

from dataclasses import dataclass

from sqlmodel import Session, col, select

from clusterm.store import tables
from clusterm.store.jobs import steps


@dataclass(frozen=True)
class JobRecord:
    """The rows of one job."""

    row: tables.Job
    nodes: list[tables.JobNode]
    """Its nodes, or the addresses it discovers, in the order of the request."""
    steps: list[tables.JobStep]
    """The steps that have begun, in order."""

    @property
    def names(self) -> list[str]:
        """Names of the nodes, or addresses, in the order of the request."""
        return [node.node for node in self.nodes]


def load(session: Session, job: tables.Job) -> JobRecord:
    """Read the nodes and steps of a job."""
    nodes = select(tables.JobNode).where(tables.JobNode.job_id == job.id).order_by(col(tables.JobNode.position))
    return JobRecord(job, list(session.exec(nodes)), list(steps(session, job.id)))
