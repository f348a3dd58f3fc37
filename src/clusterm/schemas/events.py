"""Events of the timeline and of nodes."""

from typing import Any

from pydantic import (
    Field,
)

from clusterm.enums import Cause, EventKind, EventName, Result
from clusterm.schemas.base import ResponseModel, Timestamp


class Changes(ResponseModel):
    """Whether something has happened."""

    event: int = Field(description="Id of the newest event of any kind; 0 without any.", examples=[42])
    job: int | None = Field(description="Id of the job whose status changed last; null for none.", examples=[7])


class Event(ResponseModel):
    """An entry of the timeline and of its node's history."""

    id: int = Field(description="Defines the order of events, independent of the clock.", examples=[42])
    at: Timestamp
    node: str | None = Field(
        description="Name of the node; null for events of a job or the service.", examples=["node2-b"]
    )
    event: EventName
    kind: EventKind = Field(default=EventKind.NODES, description="What it is about.")
    result: Result | None = Field(description="Result of the job for the node; null for other events.")
    job: int | None = Field(description="Id of the job that caused the event.", examples=[7])
    detail: str | None = Field(
        description="Reason of a failure, or more about the event.", examples=["disk /dev/sdb is missing"]
    )
    cause: Cause | None = Field(default=None, description="Cause of the event.")
    by: str | None = Field(default=None, description="The requester.", examples=["192.168.2.1"])
    changes: dict[str, list[Any]] = Field(
        default_factory=dict,
        description="Changes, each with old and new value: of a node `status`, `state`, `address`, `host_group`, "
        "`name`, `host_keys`, and host vars as `vars.NAME`; of a job `status`; of settings their names. Secrets are "
        "masked.",
        examples=[{"status": ["Provisioning", "Allocated"]}],
    )
    times: int = Field(
        default=1, description="Number of occurrences: a node that repeatedly disappears and returns has one entry."
    )
    since: Timestamp | None = Field(default=None, description="Time of the first occurrence; null if `times` is 1.")

    action: str | None = Field(
        default=None,
        description="The action of the site that began or ended; null for other events.",
        examples=["patch"],
    )

    def __str__(self) -> str:
        """Return the event as a line of the timeline, without the time."""
        about = f"job {self.job}" if self.kind is EventKind.JOBS else self.node
        happened = self.event if self.kind is EventKind.NODES else self.event.replace("_", " ")
        if self.action is not None and self.event in {EventName.ACTION_BEGAN, EventName.ACTION_ENDED}:
            happened = f"{self.action} began" if self.event is EventName.ACTION_BEGAN else self.action
        summary = f"{about} {happened}" if about else happened
        repeated = f", {self.times} times since {self.since:%Y-%m-%dT%H:%M:%SZ}" if self.since else ""
        return f"{summary}; result: {self.result}" if self.result else summary + repeated
