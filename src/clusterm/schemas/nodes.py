"""Nodes: requests, nodes and explanations."""

import json
import keyword
import re
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    Field,
)
from pydantic_core import PydanticCustomError

from clusterm.common import ssh_keys
from clusterm.enums import State, Status
from clusterm.schemas.base import MAX_NESTING, HostGroup, Request, ResponseModel, Timestamp
from clusterm.schemas.events import Event
from clusterm.schemas.jobs import Failure, Job


class MonitoringState(ResponseModel):
    """What monitoring says of a node."""

    label: str
    serial_number: str
    management_address: str


class InventoryState(ResponseModel):
    """A node's place in its lifecycle."""

    name: str
    status: Status
    prev_status: Status = Field(description="The status before the last change.")
    state: State
    prev_state: State = Field(description="The state before the last change.")


class HostKey(ResponseModel):
    """A host key of a node."""

    type: str = Field(examples=["ED25519"])
    fingerprint: str = Field(
        description="As `ssh-keygen -l` shows it.", examples=["SHA256:ydG8dTdmJp9VMg6ytfuOlTaGqI+1nnaKvKVVWWOGsFQ"]
    )

    @classmethod
    def of(cls, key: str) -> "HostKey":
        """Describe a public key."""
        return cls.model_construct(type=ssh_keys.kind(key), fingerprint=ssh_keys.fingerprint(key))

    def __str__(self) -> str:
        """Write both."""
        return f"{self.type} {self.fingerprint}"


class ConfigurationState(ResponseModel):
    """What ansible is told of a node."""

    inventory_name: str
    host_group: str
    ssh_address: str
    inventory_vars: dict[str, Any]
    host_keys: list[HostKey] = Field(default_factory=list, description="That the node must have. Empty: none is known.")


class Node(ResponseModel):
    """A node."""

    monitoring_state: MonitoringState
    inventory_state: InventoryState
    configuration_state: ConfigurationState
    events: list[Event] = Field(default_factory=list, description="Its latest events, newest last.")


class NodeCount(ResponseModel):
    """How many nodes have a status and a state."""

    status: Status
    state: State
    nodes: int = Field(examples=[12])


class SuggestedCommand(ResponseModel):
    """Something that could be done about a node."""

    command: str = Field(description="What to type.", examples=["clusterctl node update node1-4c4c4544"])
    what: str = Field(description="What it does.", examples=["configure it again"])
    allowed: bool = Field(description="Whether it would be taken as things are.")
    reason: str | None = Field(default=None, description="Why it would be refused.")


class Explanation(ResponseModel):
    """A node in words: what it is, how it came to that, and what may be done next."""

    node: str = Field(examples=["node1-4c4c4544"])
    status: Status
    status_means: str = Field(examples=["part of the cluster"])
    since: Timestamp | None = Field(description="Since when it has this status; null if that is no longer known.")
    state: State
    state_means: str
    state_since: Timestamp | None = Field(description="When monitoring last had news of it.")
    host_group: str
    event: Event | None = Field(description="The last event by which a job ended for it.")
    job: Job | None = Field(
        description="The job that runs on it, else the one that brought it to its status; null if there was none, or "
        "if it is no longer kept."
    )
    failures: list[Failure] = Field(description="Where it failed in that job.")
    look_at: list[str] = Field(description="Commands that show more.", examples=[["clusterctl job get 7"]])
    waiting: list[int] = Field(description="Ids of the jobs on it that wait for their turn.", examples=[[9]])
    next_steps: list[SuggestedCommand]


MAX_HOST_VARS: Final = 64 * 1024
"""Bytes of all host vars of a node, as JSON."""

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]{0,127}"

_TAKEN: Final = frozenset({
    "node_name", "node_addr", "ansible_host", "inventory_hostname", "inventory_hostname_short", "inventory_file",
    "inventory_dir", "groups", "group_names", "hostvars", "vars", "environment", "omit", "playbook_dir", "play_hosts",
    "role_name", "role_path",
})  # fmt: skip
"""Set by clusterm itself, or names with a meaning of their own to ansible."""


def check_host_vars(values: dict[str, Any]) -> dict[str, Any]:
    """Return host vars unchanged if they are no more than that in an inventory.

    Raises:
        ValueError: they are more.
    """
    for name in values:
        if not re.fullmatch(_NAME, name) or keyword.iskeyword(name):
            raise _refusal(
                f"{name[:80]!r} cannot be the name of a host var: use letters, digits and underscores, no digit first"
            )
        if name in _TAKEN:
            raise _refusal(f"{name!r} is set by clusterm or ansible")
    try:
        size = len(json.dumps(values, allow_nan=False, ensure_ascii=False).encode())
    except (ValueError, TypeError, RecursionError) as error:
        raise _refusal(f"host vars have to be JSON: {error}") from None
    if size > MAX_HOST_VARS:
        raise _refusal(f"the host vars of a node may have {MAX_HOST_VARS // 1024} KiB, these have more")
    _check_deeply(values)
    return values


def _check_deeply(values: dict[str, Any]) -> None:
    waiting: list[tuple[Any, int]] = [(values, 0)]
    while waiting:
        item, level = waiting.pop()
        if level > MAX_NESTING:
            raise _refusal(f"host vars may be nested {MAX_NESTING} levels deep, these are deeper")
        if isinstance(item, dict):
            if marked := next((key for key in item if key.startswith("__ansible_")), None):
                raise _refusal(f"{marked[:80]!r} has a meaning of its own to ansible where it reads JSON")
            waiting += [(value, level + 1) for value in item.values()]
        elif isinstance(item, list):
            waiting += [(value, level + 1) for value in item]


def _refusal(message: str) -> PydanticCustomError:
    return PydanticCustomError("host_vars", "{message}", {"message": message})


HostVars = Annotated[dict[str, Any], AfterValidator(check_host_vars)]


class SetRequest(Request):
    """Change what ansible is told of a node."""

    host_group: HostGroup = Field(
        default="", description="The node's host group from now on.", examples=["service-worker"]
    )
    vars: HostVars = Field(
        default_factory=dict,
        description="Host vars by name. Null takes one away; those that are not named stay.",
        examples=[{"rack": "a1", "asset_tag": None}],
    )


class RenameRequest(Request):
    """Call a node something else."""

    name: str = Field(description="The new name, `<label>-<serial>`.", examples=["web1-4c4c4544"])


class RemoveRequest(Request):
    """Forget a node."""

    force: bool = Field(default=False, description="Also if it is part of the cluster.", examples=[False])


def _parse_key(text: str) -> str:
    try:
        return ssh_keys.parse(text)
    except ValueError as error:
        raise PydanticCustomError("host_key", "{message}", {"message": str(error)}) from None


class HostKeysRequest(Request):
    """Say which host keys a node has."""

    keys: list[Annotated[str, Field(max_length=10_000), AfterValidator(_parse_key)]] = Field(
        description="All of them, each as a line of a `.pub` file. Empty: forget those that are known.",
        examples=[["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAewJ4om2EkzmBWG+rfZHp+Lwdsq2iQoWEg/Bl0qEePP"]],
        max_length=20,
    )


class KnownHostKeys(ResponseModel):
    """The host keys that a node must have from now on."""

    name: str = Field(description="Of the node; an address that is no node's yet.", examples=["node2-b"])
    host_keys: list[HostKey] = Field(
        description="Empty: the key at its next use is trusted, unless checking is strict."
    )
    forgotten: list[HostKey] = Field(description="Those that were known before, and are not any more.")


class ImportedNode(Request):
    """A node as an inventory names it."""

    label: str = Field(examples=["web1"])
    serial: str = Field(default="", description="Empty: made of the address.", examples=["4c4c4544"])
    addr: str = Field(description="Management address.", examples=["192.168.2.11"])
    groups: list[str] = Field(default_factory=list, description="All groups that it is in.", examples=[["web"]])
    vars: dict[str, Any] = Field(default_factory=dict, description="Host vars.", examples=[{"rack": "a1"}])


class ImportRequest(Request):
    """Make nodes known that an inventory names."""

    nodes: list[ImportedNode]
    map: dict[str, str] = Field(
        default_factory=dict,
        description="Which host group a group means. One that is called like a host group means that.",
        examples=[{"web": "service-worker"}],
    )
    dry_run: bool = Field(default=False, description="Only say what would become of it.", examples=[True])


class ImportOutcome(ResponseModel):
    """What became of a node of an inventory."""

    node: str = Field(examples=["web1-4c4c4544"])
    address: str
    host_group: str | None
    imported: bool
    reason: str | None = Field(description="Why it was not imported.")


class ImportAnswer(ResponseModel):
    """What became of the nodes of an inventory, in its order."""

    dry_run: bool = Field(description="Nothing was changed.")
    nodes: list[ImportOutcome]
