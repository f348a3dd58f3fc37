"""Reports of monitoring systems."""

from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from clusterm.common.addresses import parse_place
from clusterm.schemas.base import (
    Address,
    FittedName,
    Request,
    ResponseModel,
    none_to_empty_list,
    none_to_empty_string,
)
from clusterm.schemas.nodes import Node

_SHOWN: Final = 80
"""Characters of a member that is not valid, in a response."""


class MonitoredNode(Request):
    """A node as reported by monitoring."""

    label: FittedName = Field(
        description="First part of the node's name. Characters that a name cannot have are replaced by dashes.",
        examples=["node1"],
    )
    serial: FittedName = Field(description="Second part of the node's name, likewise.", examples=["4c4c4544"])
    addr: Address = Field(
        description="Management address: IP address or host name, also with the port as `192.168.2.11:2222`.",
        examples=["192.168.2.11"],
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="Port of its ssh server; becomes its host var `ansible_port`. Null: unchanged, or 22 if it is new.",
        examples=[22],
    )

    @property
    def name(self) -> str:
        """The node's name in the inventory."""
        return f"{self.label}-{self.serial}"

    @model_validator(mode="before")
    @classmethod
    def _split_port(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("addr"), str) or value.get("port") is not None:
            return value
        try:
            place = parse_place(value["addr"])
        except ValueError:
            return value  # the validation of `addr` gives the reason
        return value | {"addr": place.address, "port": place.port}


class RejectedNode(ResponseModel):
    """A node of a report that was not stored."""

    node: str = Field(description="Its name, or its position in the report.", examples=["node2-4c4c4545"])
    reason: str


class MonitorEvent(Request):
    """A report about nodes. Nodes that are not valid are set aside unless all are invalid."""

    name: Annotated[str, BeforeValidator(none_to_empty_string), AfterValidator(str.lower)] = Field(
        default="", description="`discovered` or `disappeared`, in upper or lower case.", examples=["discovered"]
    )
    nodes: Annotated[list[MonitoredNode], BeforeValidator(none_to_empty_list)] = Field(default_factory=list)

    _invalid: list[RejectedNode] = PrivateAttr(default_factory=list)

    @property
    def invalid(self) -> list[RejectedNode]:
        """The nodes that were set aside."""
        return self._invalid

    @model_validator(mode="wrap")
    @classmethod
    def _set_invalid_nodes_aside(cls, value: Any, handler: ModelWrapValidatorHandler["MonitorEvent"]) -> "MonitorEvent":
        try:
            return handler(value)
        except ValidationError as error:
            reasons: dict[int, list[str]] = {}
            for problem in error.errors():
                match problem["loc"]:
                    case ("nodes", int(position), *member):
                        where = "".join(f"{part}: " for part in member)
                        reasons.setdefault(position, []).append(f"{where}{problem['msg']}")
                    case _:
                        raise
            nodes = value["nodes"]
            if len(reasons) == len(nodes):
                raise
        valid = [node for position, node in enumerate(nodes) if position not in reasons]
        event = handler({**value, "nodes": valid})
        event._invalid = [  # noqa: SLF001 -- of this class
            RejectedNode(node=_describe(nodes[position], position), reason="; ".join(problems))
            for position, problems in reasons.items()
        ]
        return event


class MonitorRequest(Request):
    """Report nodes as discovered or disappeared."""

    monitor_event: MonitorEvent = Field(default_factory=MonitorEvent)


class MonitorAnswer(ResponseModel):
    """The stored nodes of a report, each a `Node` in a member called by its name, and the rejected nodes."""

    model_config = ConfigDict(extra="allow", json_schema_serialization_defaults_required=False)
    __pydantic_extra__: dict[str, Node]

    rejected: list[RejectedNode] = Field(
        default_factory=list, description="Nodes of the report that were not stored. Absent if all were stored."
    )


def _describe(node: Any, position: int) -> str:
    """Return the name of a node that is not valid, as far as it has one."""
    parts = [node.get("label"), node.get("serial")] if isinstance(node, dict) else []
    named = "-".join(part[:_SHOWN] for part in parts if isinstance(part, str) and part)
    return named or f"nodes.{position}"
