"""Build the inventory and extra vars of a job."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from clusterm.enums import DISCOVER_GROUP
from clusterm.schemas import Node
from clusterm.settings import AnsibleSettings


def merge_vars(ansible: AnsibleSettings, global_vars: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the extra vars of configuration, globals and request; later ones take precedence."""
    return {**json.loads(ansible.extra_variables), **global_vars, **own}


def inventory(
    addresses: Sequence[str], nodes: Sequence[Node], ansible: AnsibleSettings, *, host_group: str
) -> dict[str, Any]:
    """Return the inventory of a job, in the format of ansible's `yaml` inventory plugin.

    Args:
        addresses: the addresses to discover; empty for a job on nodes.
        nodes: the job's nodes.
        ansible: the configuration.
        host_group: host group of all nodes in this job; empty: each node's current group.
    """
    groups: dict[str, dict[str, Any]] = {}
    if addresses:
        hosts = {address: {"node_name": address, "node_addr": address} for address in addresses}
        groups[DISCOVER_GROUP] = {"hosts": {name: {"ansible_host": name, **vars_} for name, vars_ in hosts.items()}}
    for node in nodes:
        configuration = node.configuration_state
        group = groups.setdefault(host_group or configuration.host_group, {"hosts": {}})
        group["hosts"][configuration.inventory_name] = {
            "ansible_host": configuration.ssh_address,
            **configuration.inventory_vars,
        }
    return {"all": {"vars": {"ansible_ssh_common_args": ansible.ssh_args}, "children": groups}}
