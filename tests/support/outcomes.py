"""Rows of the tests in `tests/ansible/outcomes`: what a job says at its end about a playbook, and how it is compared.

A row is a playbook and the outcome that a job on the nodes A, B and C must report. The job is a decommission, the
action with a single step: no rollback follows a failed playbook, so each row is one run of ansible.

Outcomes are derived from what ansible itself decides (its recap, its exit status, its source), and from one rule of
clusterm: a node passes only if a play took it, and ansible has not failed it.
"""

import os
import re
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from support import ansible_versions
from support.service import Clusterm

A, B, C = NODES = ("a-0", "b-0", "c-0")
ALL: Final = NODES
NONE: Final[tuple[str, ...]] = ()

PLAYBOOK: Final = "cleanup.yml"
"""The name of a row's playbook."""

GROUP_VARS: Final = f"""
ansible_connection: local
ansible_python_interpreter: {sys.executable}
on_a: "{{{{ inventory_hostname == 'a-0' }}}}"
on_b: "{{{{ inventory_hostname == 'b-0' }}}}"
on_c: "{{{{ inventory_hostname == 'c-0' }}}}"
"""
"""Beside each playbook: `when: on_a` selects node A."""

A_IS_UNREACHABLE: Final = {f"host_vars/{A}.yml": "{ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}"}
"""Files of a row whose node A refuses the connection of every module; actions such as `debug` need none."""


EVERY_VERSION: Final = "TEST_EVERY_ANSIBLE_VERSION"
"""Environment variable: if it is set, each version of ansible-core runs all rows in which versions may differ."""


class Versions(Enum):
    """The versions of ansible-core that run a row. A row takes a second of CPU time per version."""

    PINNED = "the pinned version"  # versions do not differ in it
    ON_REQUEST = "the pinned version, and every version in `make test-outcomes`"
    EVERY = "every version"


class Failure(NamedTuple):
    """A failure that a job reports for a node."""

    node: str
    task: str | None
    message: str
    """Part of its message."""
    line: str | None = ""
    """Part of the log line that reports it. Empty: the line names the node, or has its message or ansible's error,
    which come before. None: there is no such line."""


def failed_too(nodes: Sequence[str], task: str, cause: str) -> list[Failure]:
    """Return the failures of nodes that ansible fails because a task failed on node A, with the cause."""
    return [Failure(node, task, f"failed on {A}, which fails this node, too ({cause}", line=None) for node in nodes]


@dataclass(frozen=True)
class Outcome:
    """What a job says at its end."""

    passed: Sequence[str] = NONE
    """The nodes that pass; the others fail. The job is Complete if all pass, else Errored."""
    results: str = ""
    """The results of all tasks on all nodes by status, as in "2 ok, 1 failed"."""
    tasks: int = 0
    """The number of tasks."""
    failures: Sequence[Failure | tuple[str, str | None, str] | tuple[str, str | None, str, str | None]] = ()
    no_play: Sequence[str] = NONE
    """Nodes that fail because no play is for them."""
    error: str = ""
    """Part of the reason of the job; empty: it follows from the failures, or there is none if the job is Complete."""

    def failed(self) -> list[Failure]:
        """Return all failures."""
        reason = f"no play in {PLAYBOOK} is for this node"
        without_play = [Failure(node, None, reason, line=None) for node in self.no_play]
        return [*(Failure(*failure) for failure in self.failures), *without_play]

    def reason(self) -> str:
        """Return a part of the reason of the job."""
        if self.error or self.failures:
            return self.error or Failure(*self.failures[0]).message
        return f"no play in {PLAYBOOK} is for {', '.join(self.no_play)}" if self.no_play else ""


class Difference(NamedTuple):
    """A difference between an outcome and a job."""

    what: str
    expected: Any
    reported: Any


@dataclass(frozen=True)
class Row:
    """A playbook and its outcome."""

    name: str
    playbook: str
    outcome: Outcome
    older: Outcome | None = None
    """The outcome with versions before 2.19, if it differs."""
    config: str = ""
    """Lines for the section `[defaults]` of ansible.cfg."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Files beside the playbook; they replace the files that every row has."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the section `ansible`."""
    check: bool = False
    """Whether the job is a check."""
    partial_success: bool = True
    """`manager.partial_success`."""
    versions: Versions = Versions.PINNED
    """Versions of ansible-core that run the row."""
    since: str = ""
    """The first version that knows what the playbook uses; empty: all do."""

    def expected(self, version: str) -> Outcome:
        """Return the outcome with a version of ansible-core."""
        return self.older if self.older and version in {"2.17", "2.18"} else self.outcome


def each_row(rows: Sequence[Row]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Parametrize a test with each `row` and each `version` of ansible-core that runs it."""
    assert len({row.name for row in rows}) == len(rows)
    return pytest.mark.parametrize(
        ("row", "version"),
        [
            pytest.param(
                row,
                version,
                id=f"{version}-{row.name}",
                marks=pytest.mark.skipif(
                    not ansible_versions.is_there(version),
                    reason=f"no ansible-core {version}: `make ansible-versions` says which Python it needs",
                ),
            )
            for row in rows
            for version in _versions(row)
        ],
    )


def _versions(row: Row) -> list[str]:
    """Return the versions that run a row."""
    known = ansible_versions.ALL[ansible_versions.ALL.index(row.since) if row.since else 0 :]
    others = [version for version in known if version != ansible_versions.PINNED]
    wanted = {Versions.EVERY} if EVERY_VERSION not in os.environ else {Versions.EVERY, Versions.ON_REQUEST}
    return [ansible_versions.PINNED, *(others if row.versions in wanted else [])]


class Runner:
    """Runs rows, in a service for each value of `partial_success`.

    Args:
        root: a directory for the services and the playbooks.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._services: dict[bool, Clusterm] = {}
        self._defaults: dict[str, Any] = {}
        self._sites = 0

    def check(self, row: Row, version: str) -> None:
        """Run a row, and fail with the differences between its outcome and what the job says."""
        differences = self._differences(row, version)
        if differences:
            lines = (f"{what}: expected {right!r}, not {wrong!r}" for what, right, wrong in differences)
            pytest.fail("\n".join(lines), pytrace=False)

    def _differences(self, row: Row, version: str) -> "list[Difference]":
        clusterm = self._service(partial_success=row.partial_success)
        settings = {
            **self._defaults,
            "playbook_location": str(self._write_site(row)),
            "executable": str(ansible_versions.executable(version)),
            **row.settings,
        }
        response = clusterm.post("/config", {"config": {"ansible": settings}})
        assert response.status_code == 200, response.text
        clusterm.add_nodes(*NODES)
        try:
            job = clusterm.run("decommission", NODES, check=row.check)
            return _compare(clusterm, row, row.expected(version), job)
        finally:
            for node in NODES:
                assert clusterm.post(f"/node/{node}/remove").status_code == 200

    def destroy(self) -> None:
        """Stop the services."""
        for clusterm in self._services.values():
            clusterm.destroy()

    def _service(self, *, partial_success: bool) -> Clusterm:
        if partial_success not in self._services:
            clusterm = Clusterm(Path(tempfile.mkdtemp(dir=self._root)) / "clusterm")
            clusterm.config["ansible"]["extra_variables"] = "{}"  # they would override those of a row
            clusterm.config["manager"]["partial_success"] = partial_success
            try:
                clusterm.start()
            except BaseException:
                clusterm.destroy()
                raise
            self._services[partial_success] = clusterm
            self._defaults = clusterm.get("/config")["ansible"]
        return self._services[partial_success]

    def _write_site(self, row: Row) -> Path:
        self._sites += 1
        site = self._root / f"site-{self._sites}"
        files = {
            "ansible.cfg": f"[defaults]\ngathering = explicit\npipelining = true\n{row.config}",
            "group_vars/all.yml": GROUP_VARS,
            PLAYBOOK: row.playbook,
            **row.files,
        }
        for name, text in files.items():
            file = site / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        return site


def _compare(clusterm: Clusterm, row: Row, expected: Outcome, job: Mapping[str, Any]) -> list[Difference]:
    """Return the differences between the outcome of a row and its job."""
    tasks = _tasks(clusterm, job)
    complete = set(expected.passed) == set(NODES)
    counts = complete or row.partial_success
    passed = "passed" if counts else "undone"
    outcomes = {node: passed if node in expected.passed else "failed" for node in NODES}
    task_results = Counter(str(result["status"]) for task in tasks for result in task["results"])
    compared = [
        Difference("status", "Complete" if complete else "Errored", job["status"]),
        Difference("outcomes of nodes", outcomes, job["outcomes"]),
        Difference("number of tasks", expected.tasks, len(tasks)),
        Difference("results of tasks", _counted(expected.results), dict(task_results)),
    ]
    if not row.check:
        events = {node: "pass" if node in expected.passed and counts else "fail" for node in NODES}
        compared.append(Difference("events", events, _events(clusterm, job)))
    differences = [each for each in compared if each.expected != each.reported]
    if expected.reason() not in job["error"] or bool(job["error"]) == complete:
        differences.append(Difference("error", expected.reason(), job["error"]))
    return differences + [
        Difference("failure", failure, reported)
        for failure, reported in zip_longest(expected.failed(), job["failures"])
        if failure is None or reported is None or not _is_reported(failure, reported, job["logs"])
    ]


def _is_reported(failure: Failure, reported: dict[str, Any], log: Sequence[str]) -> bool:
    """Return whether a job's failure is the expected one; adds its line's text, which a difference then shows."""
    reported["text"] = line = None if reported["line"] is None else log[reported["line"] - 1][:200]
    if (failure.node, failure.task) != (reported["node"], reported["task"]):
        return False
    if failure.line is None or line is None:
        return failure.message in reported["message"] and failure.line == line
    parts = [failure.line] if failure.line else [failure.node, "[ERROR]: ", failure.message]
    return failure.message in reported["message"] and any(part in line for part in parts)


def _counted(results: str) -> dict[str, int]:
    return {status: int(count) for count, status in re.findall(r"(\d+) (\w+)", results)}


def _events(clusterm: Clusterm, job: Mapping[str, Any]) -> dict[str, str]:
    """Return the results of the events with which a job ends."""
    events = clusterm.get("/info/jobs/timeline", limit=20)["items"]
    return {event["node"]: event["result"] for event in events if event["job"] == job["id"]}


def _tasks(clusterm: Clusterm, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    page = clusterm.get(f"/info/job/{job['id']}/tasks", limit=1000)
    assert page["next"] is None
    return list(page["items"])
