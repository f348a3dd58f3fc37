"""Identify the machines of a discover job by facts from its playbook, or else from a playbook of clusterm.

`callback_plugins/clusterm_facts.py` writes the facts into the job's directory. A playbook cannot forge them by its
output, and an executor that resumes the job finds them there.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from clusterm.ansible import side_run
from clusterm.ansible.command import find_executable
from clusterm.ansible.job_spec import FACTS, JobSpec
from clusterm.common.addresses import Place
from clusterm.common.node_names import fit_part, serial_from_place
from clusterm.schemas import MonitoredNode

_PLAYBOOK: Final = Path(__file__).parent / "playbooks" / "facts.yml"
_GATHER_TIMEOUT_S: Final = 60.0  # seconds for any number of machines
_GATHER_TIMEOUT_PER_NODE_S: Final = 2.0  # additional seconds per machine

_LOCAL: Final = "the playbook did not connect to it, but ran on clusterm's machine (connection local)"

_NO_SERIALS: Final = re.compile(
    r"|na|n/a|none|null|unknown|default string|not (specified|applicable|available)|(system|chassis)[ -]serial.*|"
    r"to be filled.*|o\.?e\.?m\.?|x+|0+|0?123456789|\.+|-+",
    re.IGNORECASE,
)
"""Placeholders that manufacturers use in place of a serial."""


def identify(
    spec: JobSpec, directory: Path, addresses: Sequence[str], is_stopped: Callable[[], bool]
) -> dict[str, MonitoredNode | str]:
    """Return for each address its node, or the reason for which the node cannot be identified.

    Args:
        spec: the job's specification.
        directory: the job's directory.
        addresses: the addresses that the job has configured.
        is_stopped: returns whether the job must end.
    """
    facts_dir = directory / FACTS
    connections = _read(facts_dir / "connections.json")
    if connections is None:  # the program was not ansible, or ended before its first task
        return {}
    local = [address for address in addresses if connections.get(address) == "local"]
    if len(local) > 1:  # a single local address may be this machine
        return dict.fromkeys(local, _LOCAL) | identify(spec, directory, _without(addresses, local), is_stopped)
    missing = [address for address in addresses if _read(facts_dir / f"{file_stem(address)}.json") is None]
    reason = _gather(spec, directory, missing, is_stopped, is_local=missing == local) if missing else ""
    result: dict[str, MonitoredNode | str] = {}
    for address in addresses:
        facts = _read(facts_dir / f"{file_stem(address)}.json")
        unreachable = _read(facts_dir / f"{file_stem(address)}.unreachable.json") or {"message": reason}
        result[address] = str(unreachable["message"]) if facts is None else _node(address, facts)
    return result


def file_stem(host: str) -> str:
    """Return the first part of the names of a host's files. A host name may be longer than the name of a file."""
    return hashlib.sha256(host.encode()).hexdigest()  # as in clusterm_facts


def _gather(
    spec: JobSpec, directory: Path, addresses: Sequence[str], is_stopped: Callable[[], bool], *, is_local: bool
) -> str:
    """Gather facts from the machines, and return the reason to report for machines that do not answer."""
    executable = find_executable(spec.executable)
    if executable is None:
        return f"{spec.executable} was not found"
    limit = directory / "facts.limit"
    limit.write_text("".join(f"{address}\n" for address in addresses))
    command = [executable, *spec.options, "--limit", f"@{limit}", "--forks", "50", str(_PLAYBOOK)]
    if is_local:
        command.insert(1, "--connection=local")
    timeout = _GATHER_TIMEOUT_S + _GATHER_TIMEOUT_PER_NODE_S * len(addresses)
    status = None
    with (directory / "facts.log").open("ab") as log, contextlib.suppress(TimeoutError):
        status = side_run.run(command, spec, log, is_stopped, timeout=timeout)
    return "its facts were not gathered in time" if status is None else "its facts could not be gathered"


def _node(address: str, facts: Mapping[str, Any]) -> MonitoredNode | str:
    """Create a node from facts: host name, and the first available of serial, machine id and address."""
    serial = str(facts.get("product_serial", "")).strip(" \t\n\0")
    if _NO_SERIALS.fullmatch(serial):
        serial = str(facts.get("machine_id", ""))
    default = serial_from_place(Place(address))
    label = fit_part(str(facts.get("hostname", ""))) or default
    try:
        return MonitoredNode(label=label, serial=fit_part(serial) or default, addr=address)
    except ValueError as error:
        return f"the machine's host name {label[:80]!r} and serial {serial[:80]!r} do not make a node: {error}"


def _without(addresses: Sequence[str], others: Sequence[str]) -> list[str]:
    excluded = set(others)
    return [address for address in addresses if address not in excluded]


def _read(file: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None
