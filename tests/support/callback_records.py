"""Runs ansible-playbook with the callback plugin that writes records, and reads its output."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from clusterm.ansible import command
from clusterm.executor.output.parser import Line, OutputParser
from clusterm.executor.output.records import EVENTS_WITHOUT_LINES

PLUGIN = command.PLUGINS / "clusterm_records.py"
NONCE = "5d0c3a2f9be84716"
NODES = ("node1", "node2", "node3")
_BIN = Path(sys.executable).parent
_NOBODY = (None, None, None)


class Written(NamedTuple):
    """A line, and who wrote it as far as the records tell."""

    text: str
    by: tuple[str | None, str | None, str | None]


class Run(NamedTuple):
    """What one run of ansible-playbook left."""

    lines: list[Written]
    records: list[dict[str, Any]]

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)

    def results(self) -> dict[tuple[str, str], tuple[str, str | None]]:
        """Return status and message of each task and node."""
        results = [record for record in self.records if record["event"] == "result"]
        return {(r["task"], r["node"]): (r["status"], r["message"]) for r in results}

    def recap(self) -> Any:
        [recap] = [record["recap"] for record in self.records if record["event"] == "stats"]
        return recap


def run(directory: Path, playbook: Path, *options: str, nonce: str = NONCE, **environment: str) -> Run:
    """Run a playbook in a directory, with its output in a file there."""
    inventory = directory / "inventory.json"
    interpreter = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    unreachable = {"ansible_remote_tmp": "/dev/null/tmp", "ansible_pipelining": False}
    hosts = {**{node: {} for node in NODES}, "node4": unreachable}
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": interpreter}}))
    output = directory / "output"
    with output.open("wb") as file:
        # No PYTHONUNBUFFERED among these: it would hide what is not flushed.
        subprocess.run(
            [
                _BIN / "ansible-playbook",
                "-i",
                inventory,
                "-e",
                f"output={output}",
                *options,
                playbook,
            ],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(directory),
                "LC_ALL": "C.UTF-8",
                "PYTHONDONTWRITEBYTECODE": "1",
                "ANSIBLE_ASYNC_DIR": str(directory / "async"),
                "ANSIBLE_REMOTE_TMP": str(directory / "tmp"),
                "ANSIBLE_PIPELINING": "1",
                "ANSIBLE_CALLBACK_PLUGINS": str(PLUGIN.parent),
                "CLUSTERM_NONCE": nonce,
                **environment,
            },
        )
    return read(output.read_bytes())


def read(output: bytes) -> Run:
    """Attribute each line to the record that follows it."""
    reader = OutputParser(NONCE)
    lines: list[Written] = []
    waiting: list[str] = []
    records = []
    for found in (*reader.feed(output), *reader.close()):
        if isinstance(found, Line):
            waiting.append(found.text)
            continue
        data = found.data
        if data["event"] in EVENTS_WITHOUT_LINES:
            records.append(data)
            continue
        lines += [Written(text, (data.get("play"), data.get("task"), data.get("node"))) for text in waiting]
        waiting = []
        records.append(data)
    return Run([*lines, *(Written(text, _NOBODY) for text in waiting)], records)
