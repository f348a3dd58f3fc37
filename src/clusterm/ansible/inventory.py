"""The inventory and extra vars of a job."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from clusterm.enums import DISCOVER_GROUP, Action
from clusterm.schemas import Node
from clusterm.settings import AnsibleSettings


def merge_vars(ansible: AnsibleSettings, global_vars: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the extra vars of a job: the configuration's, the globals and the request's own; the last wins."""
    return {**json.loads(ansible.extra_variables), **global_vars, **own}


def inventory(
    action: Action, names: Sequence[str], nodes: Sequence[Node], ansible: AnsibleSettings, *, host_group: str
) -> dict[str, Any]:
    """Return the inventory of a job, in the form that ansible's `yaml` inventory plugin reads.

    Args:
        action: the job's action.
        names: the names of its nodes, or the addresses that it is to discover.
        nodes: its nodes.
        ansible: the configuration.
        host_group: the group that it brings them into, where a check has not; empty where they stay in theirs.
    """
    groups: dict[str, dict[str, Any]] = {}
    if action is Action.DISCOVER:
        hosts = {address: {"node_name": address, "node_addr": address} for address in names}
        groups[DISCOVER_GROUP] = {"hosts": {name: {"ansible_host": name, **vars_} for name, vars_ in hosts.items()}}
    for node in nodes:
        configuration = node.configuration_state
        group = groups.setdefault(host_group or configuration.host_group, {"hosts": {}})
        group["hosts"][configuration.inventory_name] = {
            "ansible_host": configuration.ssh_address,
            **configuration.inventory_vars,
        }
    return {"all": {"vars": {"ansible_ssh_common_args": ansible.ssh_args}, "children": groups}}
