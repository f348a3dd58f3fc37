"""Requests for jobs, independent of their transport."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from clusterm import schemas
from clusterm.enums import Action


@dataclass(frozen=True)
class JobRequest:
    """What a job is to do."""

    action: Action
    targets: Sequence[str]
    """Names, management addresses or globs of nodes; for discover, addresses that are no node's."""
    select: schemas.NodeSelection = field(default_factory=schemas.NodeSelection)
    """Which of these nodes to take."""
    host_group: str = ""
    """The group to commission or update nodes into; empty where it stays as it is."""
    extra_vars: dict[str, Any] = field(default_factory=dict)
    terms: schemas.JobTerms = field(default_factory=schemas.JobTerms)
    retry_of: int | None = None
    """Id of the job that is retried."""


@dataclass(frozen=True)
class Requester:
    """Who asks, and what makes the same request known when it comes again."""

    name: str
    key: str | None = None
    """Idempotency key."""
    digest: str = ""
    """Of the whole request."""
