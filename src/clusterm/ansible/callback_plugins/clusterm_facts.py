# ruff: noqa: D102, INP001, SLF001 -- ansible names the methods, wants a plain folder, hid result._host up to 2.18
"""Write the facts that identify the machines of a discover job to files for clusterm.

The environment variable CLUSTERM_FACTS names the directory; without it the plugin does nothing. For each host the
plugin writes `<digest>.json`, once a playbook has gathered its facts, or `<digest>.unreachable.json` with the reason;
the digest is that of the host's name, which may be longer than the name of a file. At the end it writes
`connections.json` with the connection plugin of each host.
"""

import base64
import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase  # type: ignore[import-untyped]

DOCUMENTATION = """
name: clusterm_facts
type: notification
short_description: writes the names and serials of machines for clusterm
description:
  - Writes files, to the directory in CLUSTERM_FACTS.
  - Does nothing unless clusterm runs the playbook to discover machines.
"""

_FACTS = ("hostname", "product_serial", "machine_id")
_SERIAL = "/product_serial"
_GATHERING = frozenset({"setup", "gather_facts"})


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Writes the facts to files."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "clusterm_facts"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self) -> None:
        super().__init__()
        directory = os.environ.pop("CLUSTERM_FACTS", "")
        self.disabled = not directory
        self._directory = Path(directory)
        self._known: dict[str, dict[str, str]] = {}
        self._connections: dict[str, str] = {}

    def v2_runner_on_ok(self, result: Any) -> None:
        with contextlib.suppress(Exception):  # an error here must not fail the playbook
            self._take(result._host.get_name(), result._task, result._result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        with contextlib.suppress(Exception):
            message = " ".join(str(result._result.get("msg", "")).split())
            self._write(f"{_digest(result._host.get_name())}.unreachable", {"message": message})

    def v2_playbook_on_stats(self, _stats: Any) -> None:
        with contextlib.suppress(Exception):
            self._write("connections", self._connections)

    def _take(self, host: str, task: Any, result: dict[str, Any]) -> None:
        if task.delegate_to:
            return
        self._connections[host] = str(task.connection)
        action = task.action.rpartition(".")[2]
        found: dict[str, str] = {}
        if action in _GATHERING:
            facts = result.get("ansible_facts", {})
            found = {name: str(facts[f"ansible_{name}"]) for name in _FACTS if facts.get(f"ansible_{name}")}
        elif action == "slurp" and str(result.get("source", "")).endswith(_SERIAL):
            found = {"product_serial": base64.b64decode(result["content"]).decode()}
        if found:
            self._known[host] = self._known.get(host, {}) | found
            self._write(_digest(host), self._known[host])

    def _write(self, name: str, data: dict[str, str]) -> None:
        unfinished = self._directory / f".{name}.{os.getpid()}"
        unfinished.write_text(json.dumps(data))
        unfinished.rename(self._directory / f"{name}.json")


def _digest(host: str) -> str:
    return hashlib.sha256(host.encode()).hexdigest()  # as in clusterm.ansible.facts
