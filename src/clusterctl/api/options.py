"""Arguments that several methods of the client share."""

from collections.abc import Sequence
from typing import Literal

from clusterctl.api.models import Json
from clusterctl.api.request_options import NodesOptions
from clusterm.schemas import Job

JobRef = int | Literal["active", "last", "good"] | Job
"""A job: its id, the one that runs, the last one that ended, the last Complete one with the same action, or a `Job`."""


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
