"""Requests for jobs, independent of their transport."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from clusterm import schemas
from clusterm.common.trace_context import TraceParent
from clusterm.enums import TokenRole


@dataclass(frozen=True)
class JobRequest:
    """A request for a job."""

    action: str
    targets: Sequence[str]
    """Names, management addresses or globs of nodes; for discover, addresses that are not nodes yet."""
    select: schemas.NodeSelection = field(default_factory=schemas.NodeSelection)
    """Selection among these nodes."""
    host_group: str = ""
    """The host group that the nodes join; empty if they stay in theirs."""
    extra_vars: dict[str, Any] = field(default_factory=dict)
    terms: schemas.JobTerms = field(default_factory=schemas.JobTerms)
    confirm: int | None = None
    """The number of nodes that the sender expects; None if it does not say."""
    retry_of: int | None = None
    """Id of the job that is retried."""


@dataclass(frozen=True)
class Requester:
    """The sender of a request, and what identifies a repetition of the request."""

    name: str
    role: TokenRole | None = None
    """Its role; None without authentication, which permits everything."""
    key: str | None = None
    """Idempotency key, with the name of the token that it belongs to."""
    digest: str = ""
    """Digest of the whole request."""
    parent: TraceParent | None = None
    """The span that the request belongs to."""
