"""What happened in a run of a playbook: by the recorder inside ansible, and by what clusterm has stored."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from support.service import Clusterm

FAILED: Final = frozenset({"failed", "unreachable"})
"""The statuses of results that fail a node."""

_STATUSES: Final = {
    "v2_runner_on_skipped": "skipped",
    "v2_runner_on_failed": "failed",
    "v2_runner_on_unreachable": "unreachable",
}
_JOB_TIMEOUT_S: Final = 120.0  # seconds without a byte from the log

_COUNTS: Final = {"failures": "failed"}
"""The names of counts that clusterm has under another name than ansible."""

_OF_PLAY: Final = ("v2_playbook_on_play_start", "v2_playbook_on_no_hosts_matched", "v2_playbook_on_no_hosts_remaining")
_OF_TASK: Final = ("v2_playbook_on_task_start", "v2_playbook_on_handler_task_start")
_POLLS: Final = ("v2_runner_on_async_poll", "v2_runner_on_async_ok", "v2_runner_on_async_failed")


class TaskName(NamedTuple):
    """The names of a task: two tasks with the same names are compared as one."""

    play: str
    task: str
    path: str


class Author(NamedTuple):
    """Who wrote a line of output; what does not apply is None."""

    play: str | None = None
    task: str | None = None
    node: str | None = None


class FailureName(NamedTuple):
    """The names of a failure: play and task are those of another node's failure, or None if no play is for the node."""

    node: str
    play: str | None
    task: str | None


class Line(NamedTuple):
    """A line of output."""

    text: str
    author: Author | None
    """None if ansible wrote it between two callbacks, which nothing attributes to anybody."""


@dataclass
class Account:
    """One account of a run."""

    recap: dict[str, dict[str, int]] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)
    """The nodes that came to the end of each play that is for them, of which there is at least one."""
    failures: list[FailureName] = field(default_factory=list)
    """Each failure that was neither rescued nor ignored nor cleared, sorted."""
    results: dict[TaskName, dict[str, list[str | None]]] = field(default_factory=dict)
    """The statuses of each task on each node, in order; more than one if the task ran there more than once."""
    lines: list[Line] = field(default_factory=list)


@dataclass
class Recorded(Account):
    """The account of the recorder."""

    failed: set[str] = field(default_factory=set)
    """The nodes that ansible itself has failed; other nodes did not pass because ansible did not come to them."""
    announced: dict[TaskName, int] = field(default_factory=dict)
    """How often each task was announced; strategies that announce it for each node count once for each batch."""
    includes: set[FailureName] = field(default_factory=set)
    """The failures that ansible counts even if a rescue section handles them: missing files and roles."""
    failure_lines: dict[FailureName, list[set[int]]] = field(default_factory=dict)
    """For the failures of a node and task, in order: the positions of the lines that report them, from 0."""


@dataclass
class Stored(Account):
    """The account of clusterm."""

    job: dict[str, Any] = field(default_factory=dict)
    rows: dict[TaskName, int] = field(default_factory=dict)
    """How many tasks the job has of each name."""
    events: dict[str, str] = field(default_factory=dict)
    """The result in the event of each node."""
    failure_lines: list[tuple[FailureName, int | None]] = field(default_factory=list)
    """For each failure: node, play and task, and the position of its line, from 0."""


def read_record(directory: Path, nodes: Sequence[str]) -> Recorded:
    """Read what the recorder wrote in a directory, which has the record of one run.

    Args:
        directory: the directory.
        nodes: the nodes of the job; other hosts, such as localhost, have no outcome.
    """
    files = list(directory.glob("*.jsonl"))
    if not files:  # ansible ended before it loaded its callbacks
        return Recorded()
    [file] = files
    return _Reader([json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()], nodes).read()


class _Failure(NamedTuple):
    """A failure that ansible counts."""

    node: str
    task: TaskName
    reports: list[int]
    """Its callbacks: of the items and retries, too."""
    position: int
    """Position among the statuses of the task on the node."""

    @property
    def about(self) -> FailureName:
        return FailureName(self.node, self.task.play, self.task.task)


class _Reader:
    """Derives the account from the entries of a record."""

    def __init__(self, entries: Sequence[Mapping[str, Any]], nodes: Sequence[str]) -> None:
        self._entries = entries
        self._nodes = nodes
        self._account = Recorded()
        self._plays: list[str] = []
        self._names: dict[tuple[int, str], TaskName] = {}  # by play and UUID
        self._running: dict[str, TaskName] = {}  # by host
        self._strategy = "linear"
        self._announced: set[str] = set()  # UUIDs, in this batch
        self._callbacks: dict[int, Author] = {}
        self._reports: dict[tuple[str, TaskName], list[int]] = defaultdict(list)  # callbacks since the task's start
        self._failures: list[_Failure] = []
        self._lines_of: dict[int, list[int]] = defaultdict(list)  # by callback: the positions of its lines
        self._lines_before: dict[int, int] = {}  # by callback

    def read(self) -> Recorded:
        plays = _PlaysLeft()
        for entry in self._entries:
            if entry["at"] == "playbook":
                self._plays = entry["plays"]
            elif entry["at"] == "callback":
                self._take_callback(entry)
            elif entry["at"] == "clear":
                self._clear(entry["host"])
            elif entry["at"] == "batches":
                self._strategy = entry["strategy"]
                plays.begin(entry)
            elif entry["at"] == "batch":
                self._announced = set()
                plays.end_batch(entry)
            elif entry["at"] == "left":
                plays.end(entry, self._nodes)
        self._account.passed = plays.passed() & set(self._nodes)
        self._account.failed = plays.failed() & set(self._nodes)
        self._account.failures = sorted((failure.about for failure in self._failures), key=str)
        self._read_lines()
        self._find_failure_lines()
        return self._account

    def _take_callback(self, entry: Mapping[str, Any]) -> None:
        name, host = entry["name"], entry.get("host")
        play = self._plays[entry["play"]] if entry["play"] is not None else None
        if name == "v2_playbook_on_stats":
            self._account.recap = {
                node: {_COUNTS.get(name, name): count for name, count in counts.items()}
                for node, counts in entry["recap"].items()
            }
        task = self._task(entry, play) if "task" in entry else None
        if name in _OF_PLAY:
            author = Author(play)
        elif task is None:
            author = Author()
        else:
            if "hosts" in entry:
                host = entry["hosts"][0] if len(entry["hosts"]) == 1 else None
            author = Author(play, task.task, host)
            if name == "v2_runner_on_start" and host is not None:
                self._running[host] = task
                self._reports[host, task] = []
                self._account.results.setdefault(task, {}).setdefault(host, []).append(None)
            elif name in _OF_TASK and not entry["implicit"]:
                self._announce(task, entry["task"])
            elif host is not None and name != "v2_playbook_on_include":
                self._reports[host, task].append(entry["number"])
                if name in ("v2_runner_on_ok", *_STATUSES):
                    self._take_result(entry, task, host)
        self._callbacks[entry["number"]] = author

    def _task(self, entry: Mapping[str, Any], play: str | None) -> TaskName:
        """Return the names of a callback's task, as they were when it was announced."""
        if entry["name"] in _POLLS:  # the callback is for a task that ansible makes to ask for the state of another
            return self._running[entry["host"]]
        key = (entry["play"], entry["task"])
        return self._names.setdefault(key, TaskName(play or "", entry["task_name"], entry["path"]))

    def _take_result(self, entry: Mapping[str, Any], task: TaskName, host: str) -> None:
        status = _status(entry)
        of_host = self._account.results.setdefault(task, {}).setdefault(host, [])
        if of_host and of_host[-1] is None:
            of_host[-1] = status
        elif of_host and entry["name"] == "v2_runner_on_failed" and status == "failed":
            of_host[-1] = status  # of an include that was ok, but whose file is missing
            self._account.includes.add(FailureName(host, task.play, task.task))
        else:
            of_host.append(status)
        if status in FAILED:
            self._failures.append(_Failure(host, task, list(self._reports[host, task]), len(of_host) - 1))

    def _announce(self, task: TaskName, uuid: str) -> None:
        self._account.results.setdefault(task, {})
        if self._strategy == "linear" or uuid not in self._announced:
            self._account.announced[task] = self._account.announced.get(task, 0) + 1
        self._announced.add(uuid)

    def _clear(self, host: str) -> None:
        """Take the failures of a host back."""
        for failure in self._failures:
            if failure.node == host:
                self._account.results[failure.task][host][failure.position] = "cleared"
        self._failures = [failure for failure in self._failures if failure.node != host]

    def _read_lines(self) -> None:
        """Split the output into lines, and attribute each to the callback that wrote its beginning."""
        lines = self._account.lines
        text, author, banner, number = "", None, False, None
        for entry in self._entries:
            if entry["at"] == "callback":
                self._lines_before[entry["number"]] = len(lines)
            if entry["at"] != "output":
                continue
            if not text:
                number, banner = entry["callback"], entry["banner"]
                author = None if number is None else self._callbacks[number]
                if author and banner:
                    author = author._replace(node=None)
            *whole, text = (text + entry["text"]).split("\n")
            for line in whole:
                if number is not None and not banner:
                    self._lines_of[number].append(len(lines))
                lines.append(Line(line, author))
        if text:
            lines.append(Line(text, author))

    def _find_failure_lines(self) -> None:
        """Find the lines that report each failure."""
        lines = self._account.lines
        for failure in self._failures:
            positions = {position for report in failure.reports for position in self._lines_of[report]}
            first = min(positions, default=self._lines_before[failure.reports[-1]])
            while first and lines[first - 1].author is None:  # an error that precedes the callback
                first -= 1
                positions.add(first)
            self._account.failure_lines.setdefault(failure.about, []).append(positions)


class _PlaysLeft:
    """Tracks how hosts leave the plays that are for them."""

    def __init__(self) -> None:
        self._well: defaultdict[str, list[bool]] = defaultdict(list)  # for each play of a host
        self._failed: set[str] = set()
        self._waiting: list[str] = []  # hosts of the play whose batch has not ended
        self._ended = False

    def begin(self, entry: Mapping[str, Any]) -> None:
        """Take the batches of the next play."""
        self._leave_behind(self._waiting)
        self._waiting = [host for batch in entry["batches"] for host in batch]

    def end_batch(self, entry: Mapping[str, Any]) -> None:
        """Take the end of a batch."""
        for host, ending in entry["hosts"].items():
            self._well[host].append(ending == "well")
            if ending == "failed":
                self._failed.add(host)
        ended = self._waiting if entry["end_play"] else entry["hosts"]  # end_play ends the later batches, too
        for host in ended:
            self._well.setdefault(host, [])  # a play was for it, though it may not have begun
        self._waiting = [host for host in self._waiting if host not in ended]

    def end(self, entry: Mapping[str, Any], nodes: Sequence[str]) -> None:
        """Take the end of the playbook: the plays that were not begun."""
        self._leave_behind(self._waiting)
        for hosts in entry["plays"].values():
            self._leave_behind(nodes if hosts is None else hosts)
        self._ended = True

    def passed(self) -> set[str]:
        """Return the hosts that left each of their plays well; none if ansible was cut off."""
        return {host for host, well in self._well.items() if all(well)} if self._ended else set()

    def failed(self) -> set[str]:
        """Return the hosts that ansible has failed, for tasks of theirs or of others; none if it was cut off."""
        return self._failed - self.passed() if self._ended else set()

    def _leave_behind(self, hosts: Iterable[str]) -> None:
        for host in hosts:
            self._well[host].append(False)


def _status(entry: Mapping[str, Any]) -> str:
    """Return the status of a result, by what ansible has counted before the callback."""
    name = entry["name"]
    if name == "v2_runner_on_ok":
        return "changed" if entry["changed"] else "ok"
    if "ignored" in entry["counted"]:
        return "ignored"
    if "rescued" in entry["counted"]:
        return "rescued"
    return _STATUSES[name]


def read_job(clusterm: Clusterm, number: int) -> Stored:
    """Wait for the end of a job, and read what clusterm has stored about it.

    Args:
        clusterm: the service.
        number: the job's id.
    """
    _await_end(clusterm, number)
    job = clusterm.job(number, logs=False)
    account = Stored(job=job, lines=list(_lines(clusterm, number)), recap=job["recap"])
    account.passed = {node for node, result in job["outcomes"].items() if result == "passed"}
    for failure in job["failures"]:
        about = FailureName(failure["node"], failure["play"], failure["task"])
        account.failures.append(about)
        account.failure_lines.append((about, None if failure["line"] is None else failure["line"] - 1))
    account.failures.sort(key=str)
    for task in _tasks(clusterm, number):
        name = TaskName(task["play"], task["task"], task["path"])
        account.rows[name] = account.rows.get(name, 0) + 1
        of_task = account.results.setdefault(name, {})
        for result in task["results"]:
            of_task.setdefault(result["node"], []).append(result["status"])
    events = clusterm.get("/info/jobs/timeline", limit=1000)["items"]
    ended = [event for event in events if event["job"] == number and event["result"]]
    account.events = {event["node"]: event["result"] for event in ended}
    return account


def _await_end(clusterm: Clusterm, job: int) -> None:
    """Follow the log of a job to its end, which costs the service less than to be asked for the job again and again."""
    path = f"/info/logs/{job}"
    clusterm.http.get(path, params={"follow": True, "tail": 0}, timeout=_JOB_TIMEOUT_S).raise_for_status()


def _lines(clusterm: Clusterm, job: int) -> Iterable[Line]:
    response = clusterm.http.get(f"/info/logs/{job}", headers={"Accept": "application/x-ndjson"})
    response.raise_for_status()
    for line in map(json.loads, response.text.splitlines()):
        if "text" in line:
            yield Line(line["text"], Author(line["play"], line["task"], line["node"]))


def _tasks(clusterm: Clusterm, job: int) -> Iterable[dict[str, Any]]:
    cursor = None
    while True:
        page = clusterm.get(f"/info/job/{job}/tasks", limit=1000, **({"cursor": cursor} if cursor else {}))
        yield from page["items"]
        cursor = page["next"]
        if cursor is None:
            return
