"""Reports of monitoring systems."""

from typing import Annotated

from pydantic import (
    BeforeValidator,
    Field,
)

from clusterm.schemas.base import Address, Name, Request, none_to_empty_list, none_to_empty_string


class MonitoredNode(Request):
    """A node as reported by monitoring."""

    label: Name = Field(examples=["node1"])
    serial: Name = Field(examples=["4c4c4544"])
    addr: Address = Field(description="Management address.", examples=["192.168.2.11"])

    @property
    def name(self) -> str:
        """The node's name in the inventory."""
        return f"{self.label}-{self.serial}"


class MonitorEvent(Request):
    """A report about nodes."""

    name: Annotated[str, BeforeValidator(none_to_empty_string)] = Field(
        default="", description="`discovered` or `disappeared`.", examples=["discovered"]
    )
    nodes: Annotated[list[MonitoredNode], BeforeValidator(none_to_empty_list)] = Field(default_factory=list)


class MonitorRequest(Request):
    """Report nodes as discovered or disappeared."""

    monitor_event: MonitorEvent = Field(default_factory=MonitorEvent)
