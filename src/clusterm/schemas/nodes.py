"""Requests and responses about nodes."""

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
from clusterm.common.addresses import SSH_PORT
from clusterm.enums import State, Status
from clusterm.schemas.base import MAX_NESTING, HostGroup, Request, ResponseModel, Timestamp
from clusterm.schemas.events import Event
from clusterm.schemas.jobs import Failure, Job
from clusterm.schemas.request_vars import RESERVED


class MonitoringState(ResponseModel):
    """A node's identity as reported by monitoring."""

    label: str
    serial_number: str
    management_address: str


class InventoryState(ResponseModel):
    """A node's lifecycle status and reachability."""

    name: str
    status: Status
    prev_status: Status = Field(description="The status before the last change.")
    state: State
    prev_state: State = Field(description="The state before the last change.")


class HostKey(ResponseModel):
    """A host key of a node."""

    type: str = Field(examples=["ED25519"])
    fingerprint: str = Field(
        description="Fingerprint, as printed by `ssh-keygen -l`.",
        examples=["SHA256:ydG8dTdmJp9VMg6ytfuOlTaGqI+1nnaKvKVVWWOGsFQ"],
    )

    @classmethod
    def of(cls, key: str) -> "HostKey":
        """Describe a public key."""
        return cls.model_construct(type=ssh_keys.kind(key), fingerprint=ssh_keys.fingerprint(key))

    def __str__(self) -> str:
        """Return type and fingerprint."""
        return f"{self.type} {self.fingerprint}"


class ConfigurationState(ResponseModel):
    """A node's entry in ansible's inventory."""

    inventory_name: str
    host_group: str
    ssh_address: str
    ssh_port: int | None = Field(
        default=SSH_PORT, description="Port of its ssh server. Null: `ansible_port` is a template.", examples=[22]
    )
    inventory_vars: dict[str, Any]
    secret_vars: list[str] = Field(
        default_factory=list,
        description="Names of the host vars that are secret whatever their names, because an import has read their "
        "values from encrypted files.",
        examples=[["db_url"]],
    )
    host_keys: list[HostKey] = Field(default_factory=list, description="Trusted host keys. Empty: none.")


class Node(ResponseModel):
    """A node."""

    monitoring_state: MonitoringState
    inventory_state: InventoryState
    configuration_state: ConfigurationState
    events: list[Event] = Field(default_factory=list, description="Latest events of the node, newest last.")


class NodeHistory(ResponseModel):
    """The statuses and states of a node over time."""

    name: str
    host_group: str
    segments: list[list[int]] = Field(
        description="When which status and state began. Five numbers each: the second after `since`; the index of the "
        "status in `statuses` and of the state in `states`, both -1 before the node was discovered; the id of the job "
        "that caused it, 0 for none; and 1 if that job failed on the node, else 0.",
        examples=[[[0, 0, 1, 0, 0], [3600, 1, 1, 7, 0], [3720, 2, 1, 7, 0]]],
    )


class NodeStates(ResponseModel):
    """The statuses and states of nodes between two times."""

    since: Timestamp
    until: Timestamp
    statuses: list[Status]
    states: list[State]
    nodes: list[NodeHistory] = Field(description="By name.")


class NodeCount(ResponseModel):
    """Number of nodes with a status and a state."""

    status: Status
    state: State
    nodes: int = Field(examples=[12])


class SuggestedCommand(ResponseModel):
    """A command that may follow for a node."""

    command: str = Field(description="Command line.", examples=["clusterctl node update node1-4c4c4544"])
    what: str = Field(description="Effect of the command.", examples=["configure it again"])
    allowed: bool = Field(description="Whether the service would accept the command now.")
    reason: str | None = Field(default=None, description="Reason for which the service would reject the command.")


class Explanation(ResponseModel):
    """A node's status in words, with its cause and suggested commands."""

    node: str = Field(examples=["node1-4c4c4544"])
    status: Status
    status_means: str = Field(examples=["part of the cluster"])
    since: Timestamp | None = Field(description="Time of the last change of `status`; null if no longer stored.")
    state: State
    state_means: str
    state_since: Timestamp | None = Field(
        description="Time of the last report about `state`; null if no longer stored."
    )
    host_group: str
    event: Event | None = Field(description="The last event that reports the end of a job on the node.")
    job: Job | None = Field(
        description="The job that runs on the node, otherwise the job that set its status; null if there is no such "
        "job or it is no longer stored."
    )
    failures: list[Failure] = Field(description="Failures of the node in that job.")
    look_at: list[str] = Field(description="Commands that show details.", examples=[["clusterctl job get 7"]])
    waiting: list[int] = Field(description="Ids of the node's queued jobs.", examples=[[9]])
    next_steps: list[SuggestedCommand]


MAX_HOST_VARS: Final = 64 * 1024
"""Maximum size of all host vars of a node as JSON, in bytes."""

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]{0,127}"

_TAKEN: Final = RESERVED | {"node_name", "node_addr", "ansible_host"}
"""Variables set by ansible or clusterm."""


def check_host_vars(values: dict[str, Any]) -> dict[str, Any]:
    """Return host vars unchanged if they are valid and have no special meaning to ansible.

    Raises:
        ValueError: they are invalid, too large, or reserved.
    """
    for reason in host_var_problems(values).values():
        raise _refusal(reason)
    try:
        size = len(json.dumps(values, allow_nan=False, ensure_ascii=False).encode())
    except (ValueError, TypeError, RecursionError) as error:
        raise _refusal(f"host vars must be JSON: {error}") from None
    if size > MAX_HOST_VARS:
        raise _refusal(f"the host vars of a node are larger than {MAX_HOST_VARS // 1024} KiB")
    return values


def host_var_problems(values: dict[str, Any]) -> dict[str, str]:
    """Return the variables that cannot be host vars, each with the reason."""
    found = {name: _name_problem(name) or _nesting_problem(value) for name, value in values.items()}
    return {name: reason for name, reason in found.items() if reason is not None}


def _name_problem(name: str) -> str | None:
    if not re.fullmatch(_NAME, name) or keyword.iskeyword(name):
        return f"{name[:80]!r} cannot be the name of a host var: use letters, digits and underscores, no digit first"
    return f"{name!r} is set by clusterm or ansible" if name in _TAKEN else None


def _nesting_problem(value: Any) -> str | None:
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        item, level = waiting.pop()
        if level > MAX_NESTING:
            return f"host vars are nested more than {MAX_NESTING} levels deep"
        if isinstance(item, dict):
            if marked := next((key for key in item if key.startswith("__ansible_")), None):
                return f"{marked[:80]!r} is not allowed: ansible gives it a special meaning in JSON"
            waiting += [(each, level + 1) for each in item.values()]
        elif isinstance(item, list):
            waiting += [(each, level + 1) for each in item]
    return None


def _refusal(message: str) -> PydanticCustomError:
    return PydanticCustomError("host_vars", "{message}", {"message": message})


HostVars = Annotated[dict[str, Any], AfterValidator(check_host_vars)]


class SetRequest(Request):
    """Change a node's host group and host vars."""

    host_group: HostGroup = Field(
        default="", description="New host group. Empty: unchanged.", examples=["service-worker"]
    )
    vars: HostVars = Field(
        default_factory=dict,
        description="Host vars by name. Null removes a variable; variables that are not listed are unchanged.",
        examples=[{"rack": "a1", "asset_tag": None}],
    )


class RenameRequest(Request):
    """Rename a node."""

    name: str = Field(description="The new name, `<label>-<serial>`.", examples=["web1-4c4c4544"])


class RemoveRequest(Request):
    """Remove a node."""

    force: bool = Field(
        default=False, description="Remove the node even if it is part of the cluster.", examples=[False]
    )


def _parse_key(text: str) -> str:
    try:
        return ssh_keys.parse(text)
    except ValueError as error:
        raise PydanticCustomError("host_key", "{message}", {"message": str(error)}) from None


class HostKeysRequest(Request):
    """Replace a node's trusted host keys."""

    keys: list[Annotated[str, Field(max_length=10_000), AfterValidator(_parse_key)]] = Field(
        description="All trusted keys, each as a line of a `.pub` file. Empty: remove all trusted keys.",
        examples=[["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAewJ4om2EkzmBWG+rfZHp+Lwdsq2iQoWEg/Bl0qEePP"]],
        max_length=20,
    )


class KnownHostKeys(ResponseModel):
    """The trusted host keys of a node after a change."""

    name: str = Field(description="Name of the node, or an address without a node.", examples=["node2-b"])
    host_keys: list[HostKey] = Field(
        description="Trusted keys. Empty: the next key is trusted at its first use, unless checking is strict."
    )
    forgotten: list[HostKey] = Field(description="Keys that are no longer trusted.")


class ImportedNode(Request):
    """A node of an inventory."""

    host: str = Field(
        default="",
        description="The host's name in the inventory, for the result. Empty: the label.",
        examples=["web_1_"],
    )
    label: str = Field(
        description="First part of the node's name. Characters that a name cannot have are replaced by dashes.",
        examples=["web1"],
    )
    serial: str = Field(default="", description="Serial. Empty: derived from the address.", examples=["4c4c4544"])
    addr: str = Field(description="Management address.", examples=["192.168.2.11"])
    groups: list[str] = Field(default_factory=list, description="All inventory groups of the node.", examples=[["web"]])
    vars: dict[str, Any] = Field(
        default_factory=dict,
        description="Host vars. Variables that a node cannot have are left out, with the reason in the response.",
        examples=[{"rack": "a1"}],
    )
    secret_vars: list[str] = Field(
        default_factory=list,
        description="Names of the host vars that are secret whatever their names.",
        examples=[["db_url"]],
    )


class ImportRequest(Request):
    """Register the nodes of an inventory."""

    nodes: list[ImportedNode]
    map: dict[str, str] = Field(
        default_factory=dict,
        description="Host groups by inventory group. Of several entries that apply to a node, the first one decides. "
        "A group with the name of a host group needs no entry.",
        examples=[{"web": "service-worker"}],
    )
    dry_run: bool = Field(default=False, description="Return the result without a change.", examples=[True])


class ImportOutcome(ResponseModel):
    """The result of importing one node."""

    host: str = Field(description="The host's name in the inventory.", examples=["web1"])
    node: str = Field(examples=["web1-4c4c4544"])
    address: str
    host_group: str | None
    imported: bool
    exists: bool = Field(default=False, description="True if it was not imported because the node exists already.")
    reason: str | None = Field(description="Reason for which the node was not imported.")
    left_out: dict[str, str] = Field(
        default_factory=dict,
        description="Host vars that were not imported, each with the reason.",
        examples=[{"ansible_connection": '"ansible_connection" is not in ansible.request_vars_allowed'}],
    )


class ImportAnswer(ResponseModel):
    """The results of an import, in the inventory's order."""

    dry_run: bool = Field(description="True if nothing was changed because of `dry_run`.")
    nodes: list[ImportOutcome]
