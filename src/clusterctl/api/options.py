"""Arguments that several methods of the client share."""

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

from clusterctl.api.models import Json
from clusterm.schemas import Job, NodeSelection

JobRef = int | Literal["active", "last"] | Job
"""A job: its id, the one that runs, the last one that ended, or a job that a method returned."""


class JobOptions(TypedDict, total=False):
    """Optional arguments of every method that starts a job on nodes or addresses."""

    extra_vars: dict[str, Any]
    """Extra vars for ansible."""
    queue: bool
    """Whether the job may wait if other jobs keep it from running now; otherwise it is refused."""
    job_timeout: float
    """Seconds after which the job is stopped; 0 disables the limit. Default: as configured."""
    idle_timeout: float
    """Seconds without output after which the job is stopped; 0 disables the limit. Default: as configured."""


class NodesOptions(JobOptions, total=False):
    """Optional arguments of every method that starts a job on nodes."""

    select: NodeSelection
    """Selects among the named nodes or, if no node is named, among all."""
    check: bool
    """Whether ansible only reports what would change."""
    limit_batch: int
    """Nodes per batch; the job stops at the first batch that fails. Default: all nodes at once."""


def job_label(job: JobRef) -> str:
    """Return `active`, `last` or the id of a job."""
    return str(job.id if isinstance(job, Job) else job)


def names_of(names: str | Sequence[str]) -> list[str]:
    """Return one or several names as a list."""
    return [names] if isinstance(names, str) else list(names)


def nodes_members(options: NodesOptions) -> Json:
    """Return the members of a request for a job on nodes."""
    members: Json = dict(options)
    if "select" in options:
        members["select"] = options["select"].model_dump(mode="json", exclude_defaults=True)
    return members
