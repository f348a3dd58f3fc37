"""Who the machines of a discover job are: what its playbook gathered of their facts, or else a playbook of our own.

`callback_plugins/clusterm_facts.py` writes the facts into the job's directory. So they do not come out of a stream
that a playbook can write to, and an executor that takes over finds what there is.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from clusterm.ansible.command import find_executable, run_environment
from clusterm.ansible.job_spec import FACTS, JobSpec
from clusterm.schemas import MonitoredNode

_PLAYBOOK: Final = Path(__file__).parent / "playbooks" / "facts.yml"
_POLL_INTERVAL_S: Final = 0.2  # seconds between looks at ansible
_GATHER_TIMEOUT_S: Final = 60.0  # seconds for one machine
_GATHER_TIMEOUT_PER_NODE_S: Final = 2.0  # and for each other one

_LOCAL: Final = "the playbook did not go there, but ran on clusterm's machine (connection local)"

_NO_SERIALS: Final = re.compile(
    r"|na|n/a|none|null|unknown|default string|not (specified|applicable|available)|(system|chassis)[ -]serial.*|"
    r"to be filled.*|o\.?e\.?m\.?|x+|0+|0?123456789|\.+|-+",
    re.IGNORECASE,
)
"""What manufacturers write where they have nothing to write."""


def identify(
    spec: JobSpec, directory: Path, addresses: Sequence[str], is_stopped: Callable[[], bool]
) -> dict[str, MonitoredNode | str]:
    """Return for each address the node that is there, or why that cannot be told.

    Args:
        spec: the job's specification.
        directory: the job's directory.
        addresses: those that the job has configured.
        is_stopped: tells whether the job is to end.
    """
    told = directory / FACTS
    connections = _read(told / "connections.json")
    if connections is None:  # it was not ansible, or ended before it had begun
        return {}
    local = [address for address in addresses if connections.get(address) == "local"]
    if len(local) > 1:  # of a single one this machine may be meant
        return dict.fromkeys(local, _LOCAL) | identify(spec, directory, _without(addresses, local), is_stopped)
    missing = [address for address in addresses if _read(told / f"{address}.json") is None]
    reason = _gather(spec, directory, missing, is_stopped, is_local=missing == local) if missing else ""
    found: dict[str, MonitoredNode | str] = {}
    for address in addresses:
        facts = _read(told / f"{address}.json")
        unreachable = _read(told / f"{address}.unreachable.json") or {"message": reason}
        found[address] = str(unreachable["message"]) if facts is None else _node(address, facts)
    return found


def _gather(
    spec: JobSpec, directory: Path, addresses: Sequence[str], is_stopped: Callable[[], bool], *, is_local: bool
) -> str:
    """Ask the machines, and return what to say of those that do not answer."""
    executable = find_executable(spec.executable)
    if executable is None:
        return f"{spec.executable} was not found"
    limit = directory / "facts.limit"
    limit.write_text("".join(f"{address}\n" for address in addresses))
    command = [executable, *spec.options, "--limit", f"@{limit}", "--forks", "50", str(_PLAYBOOK)]
    if is_local:
        command.insert(1, "--connection=local")
    with (directory / "facts.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=spec.location,
            env=run_environment(spec.environment),
            start_new_session=True,
        )
        deadline = time.monotonic() + _GATHER_TIMEOUT_S + _GATHER_TIMEOUT_PER_NODE_S * len(addresses)
        while process.poll() is None:
            if is_stopped() or time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return "its facts did not come in time"
            time.sleep(_POLL_INTERVAL_S)
    return "its facts could not be gathered"


def _node(address: str, facts: Mapping[str, Any]) -> MonitoredNode | str:
    """Make a node of facts: the host name, and the first that there is of serial, machine id and address."""
    serial = str(facts.get("product_serial", "")).strip(" \t\n\0")
    if _NO_SERIALS.fullmatch(serial):
        serial = str(facts.get("machine_id", ""))
    label = _clean(str(facts.get("hostname", ""))) or _clean(address)
    try:
        return MonitoredNode(label=label, serial=_clean(serial) or _clean(address), addr=address)
    except ValueError:
        return f"the machine calls itself {label[:80]!r}, serial {serial[:80]!r}, which is no name for a node"


def _clean(text: str) -> str:
    """Leave of a text what can stand in a node's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")[:128].rstrip("._-")


def _without(addresses: Sequence[str], others: Sequence[str]) -> list[str]:
    left_out = set(others)
    return [address for address in addresses if address not in left_out]


def _read(file: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None
