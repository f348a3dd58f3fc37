"""Events of the timeline and of nodes."""

from typing import Any

from pydantic import (
    Field,
)

from clusterm.enums import Cause, EventName, Result
from clusterm.schemas.base import ResponseModel, Timestamp


class Event(ResponseModel):
    """One thing that happened: an entry of the timeline and of its node's history."""

    id: int = Field(description="Gives the order, whatever the clock does.", examples=[42])
    at: Timestamp
    node: str | None = Field(description="Null for what concerns the whole cluster.", examples=["node2-b"])
    event: EventName
    result: Result | None = Field(description="Null for what cannot fail.")
    job: int | None = Field(description="Id of the job that caused it.", examples=[7])
    detail: str | None = Field(description="The reason of a failure.", examples=["disk /dev/sdb is missing"])
    cause: Cause | None = Field(default=None, description="What made it happen.")
    by: str | None = Field(default=None, description="Who asked for it.", examples=["192.168.2.1"])
    changes: dict[str, list[Any]] = Field(
        default_factory=dict,
        description="What it changed in the node, each from and to: `status`, `state`, `address`, `host_group`, "
        "`name`, `host_keys`, and host vars as `vars.NAME`.",
        examples=[{"status": ["Provisioning", "Allocated"]}],
    )
    times: int = Field(default=1, description="How often it happened: one entry stands for a node that comes and goes.")
    since: Timestamp | None = Field(default=None, description="When the first of these times was; null for only one.")

    def __str__(self) -> str:
        """Write it as the timeline does, without the time."""
        what = f"{self.node} {self.event}" if self.node else str(self.event)
        often = f", {self.times} times since {self.since:%Y-%m-%dT%H:%M:%SZ}" if self.since else ""
        return f"{what}; result: {self.result}" if self.result else what + often
