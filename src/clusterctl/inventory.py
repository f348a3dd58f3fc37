"""Reads ansible inventories of any form with `ansible-inventory`."""

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from clusterctl.api.models import Json
from clusterctl.errors import Usage

_PROGRAM: Final = "ansible-inventory"
_OURS: Final = frozenset({"ansible_host", "node_name", "node_addr"})
"""Host vars that clusterm sets, and that are not imported."""


def read_inventory(path: str) -> list[Json]:
    """Return the hosts of an inventory as `schemas.ImportedNode`.

    Raises:
        Usage: the inventory cannot be read.
    """
    if not Path(path).exists():
        raise Usage(f"cannot read {path}: there is no such file or directory")
    data = _list(path)
    variables: Mapping[str, Json] = data.get("_meta", {}).get("hostvars", {})
    groups = _groups_by_host(data)
    hosts = dict.fromkeys([*variables, *groups])
    return [_node(host, variables.get(host, {}), sorted(groups[host] - {"all", "ungrouped"})) for host in hosts]


def _node(host: str, variables: Json, groups: list[str]) -> Json:
    label, serial = host, ""
    address = str(variables.get("ansible_host", host))
    if host == variables.get("node_name"):  # the inventory was written by clusterm
        label, _, serial = host.rpartition("-")
    kept = {name: value for name, value in variables.items() if name not in _OURS}
    return {"label": label, "serial": serial, "addr": address, "groups": groups, "vars": kept}


def _groups_by_host(data: Json) -> defaultdict[str, set[str]]:
    """Return the groups of each host, directly or through child groups."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for name in data:
        waiting, seen = [name], set()
        while waiting:
            group = waiting.pop()
            if group in seen or not isinstance(data.get(group), dict):
                continue
            seen.add(group)
            for host in data[group].get("hosts", []):
                groups[host].add(name)
            waiting += data[group].get("children", [])
    return groups


def _list(path: str) -> dict[str, Any]:
    beside = Path(sys.executable).parent / _PROGRAM
    program = shutil.which(str(beside)) or shutil.which(_PROGRAM)
    if program is None:
        raise Usage(f"{_PROGRAM} was not found: install ansible-core where clusterctl runs")
    environment = os.environ | {
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
        "ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS": "ignore",
    }
    done = subprocess.run(
        [program, "--inventory", path, "--list"], capture_output=True, text=True, env=environment, check=False
    )
    try:
        if done.returncode == 0:
            return dict(json.loads(done.stdout))
    except (ValueError, TypeError):
        pass
    said = [line for line in done.stderr.splitlines() if line.startswith(("ERROR", "[ERROR]", "fatal"))]
    reason = said[-1].partition(":")[2].strip() if said else done.stderr.strip() or "it is not an inventory"
    raise Usage(f"{_PROGRAM} cannot read {path}: {reason}")
