"""Reads the hosts of an ansible inventory of any form, and turns them into nodes of an import."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, NamedTuple

from clusterctl.api.models import Json
from clusterctl.errors import Usage

_READER: Final = Path(__file__).with_name("ansible_reader.py")

_OURS: Final = frozenset({"ansible_host", "node_name", "node_addr"})
"""Host vars that clusterm sets, and that are not imported."""

_NEW_NAMES: Final = {
    "ansible_ssh_host": "ansible_host",
    "ansible_ssh_port": "ansible_port",
    "ansible_ssh_user": "ansible_user",
    "ansible_ssh_pass": "ansible_password",
    "ansible_ssh_password": "ansible_password",
    "ansible_ssh_private_key_file": "ansible_private_key_file",
}
"""Names of variables from before ansible 2.0. Of the old and the new name, ansible prefers the old one."""

_MESSAGE: Final = re.compile(r"^(?:\[(WARNING|ERROR)\]|(ERROR)!?):? +", re.MULTILINE)
_ORIGIN: Final = re.compile(r"^Origin: (.+)$", re.MULTILINE)
_NOTHING_PARSED: Final = "No inventory was parsed"
_MAX_HOSTS: Final = 10
"""Hosts that a message names."""


@dataclass(frozen=True)
class Inventory:
    """The content of an inventory.

    Attributes:
        nodes: its hosts, as `schemas.ImportedNode`.
        groups: the names of its groups.
        warnings: the parts that ansible could not read or evaluate, a line each.
    """

    nodes: list[Json]
    groups: frozenset[str]
    warnings: list[str]


class Finding(NamedTuple):
    """Something about a variable of a host."""

    host: str
    variable: str
    reason: str


class _Message(NamedTuple):
    level: str
    text: str


def read_inventory(path: str, vault_options: Sequence[str] = (), without_vars: Sequence[str] = ()) -> Inventory:
    """Read an inventory: INI, YAML, a script, or a directory.

    Args:
        path: the file or directory.
        vault_options: options of ansible that say where the passwords of ansible-vault are.
        without_vars: globs of the names of variables to leave out.

    Raises:
        Usage: the inventory cannot be read.
    """
    if not Path(path).exists():
        raise Usage(f"cannot read {path}: there is no such file or directory")
    document, warnings = _run_ansible(path, vault_options)
    hosts: list[Json] = document["hosts"]
    for host in hosts:
        _rename_old_names(host)
        for members in (host["vars"], host["templates"], host["omitted"]):
            for name in [name for name in members if any(fnmatchcase(name, glob) for glob in without_vars)]:
                del members[name]
    return Inventory(
        nodes=[_to_node(host) for host in hosts],
        groups=frozenset(document["groups"]),
        warnings=[*warnings, *_template_warnings(hosts), *_omitted_warnings(hosts)],
    )


def by_variable(findings: Iterable[Finding]) -> Iterator[tuple[str, str]]:
    """Yield each finding once for all of its hosts: `variable of host, host`, and the reason."""
    hosts: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        hosts.setdefault((finding.variable, finding.reason), []).append(finding.host)
    for (variable, reason), names in hosts.items():
        more = f" and {len(names) - _MAX_HOSTS} more" if len(names) > _MAX_HOSTS else ""
        yield f"{variable} of {', '.join(names[:_MAX_HOSTS])}{more}", reason


def _run_ansible(path: str, vault_options: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the document of `ansible_reader.py`, and ansible's warnings."""
    if importlib.util.find_spec("ansible") is None:
        raise Usage("ansible was not found: install ansible-core where clusterctl runs")
    environment = os.environ | {
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
        "ANSIBLE_FORCE_COLOR": "false",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
        "ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS": "ignore",
        "LC_ALL": "C.UTF-8",  # ansible refuses to run in any other encoding, and in a locale that is not installed
    }
    command = [sys.executable, "-P", str(_READER), "--list", f"--inventory={path}", *vault_options]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", env=environment, check=False
    )
    messages = list(_messages(done.stderr))
    warnings = [message.text for message in messages if message.level == "WARNING"]
    if done.returncode == 0:
        return json.loads(done.stdout), warnings
    errors = [message.text for message in messages if message.level == "ERROR"]
    reason = errors[-1] if errors else done.stderr.strip().rpartition("\n")[2] or "it is not an inventory"
    if reason.startswith(_NOTHING_PARSED) and warnings:
        reason = warnings[0]
    if "decrypt" in reason:
        reason = (
            f"it has values that are encrypted with ansible-vault. Give their password with "
            f"--vault-password-file FILE or --vault-id ID ({reason.rstrip('.')})"
        )
    raise Usage(f"ansible cannot read {path}: {reason}")


def _messages(stderr: str) -> Iterator[_Message]:
    """Yield ansible's messages, each as its first line with the place that it is about."""
    starts = list(_MESSAGE.finditer(stderr))
    ends = [*(following.start() for following in starts[1:]), len(stderr)]
    for start, end in zip(starts, ends, strict=False):
        block = stderr[start.end() : end]
        text = block.strip().partition("\n")[0].removeprefix("* ")
        origin = _ORIGIN.search(block)
        yield _Message(start[1] or start[2], f"{text} ({origin[1]})" if origin and origin[1] not in text else text)


def _rename_old_names(host: Json) -> None:
    for members in (host["vars"], host["templates"], host["omitted"]):
        for old, new in _NEW_NAMES.items():
            if old in members:
                members[new] = members.pop(old)
    host["secrets"] = [_NEW_NAMES.get(name, name) for name in host["secrets"]]


def _to_node(host: Json) -> Json:
    name, variables = host["name"], host["vars"]
    label, serial = name, ""
    if name == variables.get("node_name"):  # the inventory was written by clusterm
        label, _, serial = name.rpartition("-")
    kept = {key: value for key, value in variables.items() if key not in _OURS}
    return {
        "host": name,
        "label": label,
        "serial": serial,
        "addr": str(variables.get("ansible_host") or name),
        "groups": host["groups"],
        "vars": kept,
        "secret_vars": [key for key in host["secrets"] if key in kept],
    }


def _template_warnings(hosts: Iterable[Json]) -> Iterator[str]:
    found = [
        Finding(host["name"], variable, reason)
        for host in hosts
        for variable, reason in host["templates"].items()
        if variable not in _OURS  # the service refuses the host
    ]
    for variables, reason in by_variable(found):
        yield f"{variables} stays a template: {reason}"
    if found:
        yield (
            "jobs take templates as text unless ansible.allow_templates_in_vars is set; "
            "set a value with: clusterctl node set NODE KEY=VALUE"
        )


def _omitted_warnings(hosts: Iterable[Json]) -> Iterator[str]:
    found = (Finding(host["name"], variable, reason) for host in hosts for variable, reason in host["omitted"].items())
    for variables, reason in by_variable(found):
        yield f"{variables} is not imported: {reason}"


def check_names(given: Mapping[str, str], option: str, known: Iterable[str], what: str) -> None:
    """Check that the names in an option are in the inventory.

    Args:
        given: the values of the option, by name.
        option: the option.
        known: the names in the inventory.
        what: what the names are of, for the error message.

    Raises:
        Usage: the inventory does not have one of the names.
    """
    names = sorted(known)
    if missing := [name for name in given if name not in names]:
        listed = f"{', '.join(names[:_MAX_HOSTS])}{', ...' if len(names) > _MAX_HOSTS else ''}"
        raise Usage(f"{option}: the inventory has no {what} {missing[0]!r}; it has {listed or 'none'}")
