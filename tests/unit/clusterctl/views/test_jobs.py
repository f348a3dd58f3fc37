"""How clusterctl prints jobs, their tasks and their differences."""

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from support.factories import JOB, NOW, last_page, printed, wire

from clusterctl.output.output import Document
from clusterctl.views import jobs as job_views
from clusterm.enums import JobStatus, Outcome
from clusterm.schemas import BusyNode, Failure, Job, JobDiff, JobProgress, Task, TaskResult
from clusterm.schemas import DurationChange as Slower
from clusterm.schemas import ResultChange as Change

RECENT = datetime.now(UTC)


def test_a_job_opens_with_what_a_person_needs() -> None:
    lines = printed(Document(wire(JOB), job_views.job)).splitlines()

    assert [line.rstrip() for line in lines] == [
        "Job           7",
        "Action        commission",
        "Nodes         node1-a, node2-b",
        "Host group    service-master",
        'Extra vars    {"version": "1.2"}',
        "Status        Errored",
        "Created       2026-11-22T07:31:02Z",
        "Duration      1 h 2 min",
        "Requested by  127.0.0.1",
        "Error         configure failed on node2-b",
        "To retry      clusterctl job retry 7 --failed-only (2 of 3 nodes)",
        "",
        "NODE     TASK    MESSAGE  LINE  STEP",
        "node2-b  format  no disk  2     configure",
        "",
        "NODE     OK  CHANGED  FAILED  UNREACHABLE  SKIPPED  RESCUED  IGNORED  OUTCOME",
        "node1-a  3   2        0       0            0        0        0        passed",
        "node2-b  2   0        1       0            0        0        0        failed",
        "node3-c                                                               not reached",
        "",
        "PLAY [all] [bold]***[/bold]",
        "\x1b[0;31mfatal\x1b[0m: [node2-b]",
    ]


def test_a_job_says_what_else_there_is_to_know() -> None:
    more = {"retry_of": 3, "cancel_requested_by": "10.0.0.1", "cancel_requested_at": NOW, "log_incomplete": True}

    lines = printed(Document(wire(JOB.model_copy(update=more)), job_views.job_heading)).splitlines()

    assert lines[8:] == [
        "Requested by      127.0.0.1",
        "Retry of          3",
        "Cancel requested  by 10.0.0.1 at 2026-11-22T07:31:02Z",
        "Log               incomplete: lines are missing, or may be missing",
        "Error             configure failed on node2-b",
        "To retry          clusterctl job retry 7 --failed-only (2 of 3 nodes)",
    ]


def test_of_many_nodes_the_worst_are_shown() -> None:
    names = [f"node{number:03}" for number in range(120)]
    outcomes = dict.fromkeys(names, Outcome.PASSED) | {"node100": Outcome.FAILED, "node110": Outcome.UNDONE}
    failures = [Failure.model_validate({**JOB.failures[0].model_dump(), "node": name}) for name in names]
    busy = [BusyNode(node=name, task="format", since=RECENT) for name in names]
    current = JobProgress(step="configure", play="all", task="format", started_at=RECENT, busy=busy)
    job = wire(JOB.model_copy(update={"outcomes": outcomes, "failures": failures, "current": current}))
    job |= {"recap": {}, "logs": None}

    lines = shown(printed(Document(job, job_views.job)))
    rest = "all: clusterctl job get 7 --no-logs --all-nodes"
    assert [line for line in lines if rest in line] == [
        f"50 of 120 busy nodes are shown; {rest}",
        f"50 of 120 failures are shown; {rest}",
        f"1 failed, 1 undone, 118 passed; 50 of 120 nodes are shown; {rest}",
    ]
    first = next(number for number, line in enumerate(lines) if line.endswith("OUTCOME"))
    assert [line.split() for line in lines[first + 1 : first + 4]] == [
        ["node100", "failed"],
        ["node110", "undone"],
        ["node000", "passed"],
    ]

    everything = shown(printed(Document(job, partial(job_views.job, every_node=True))))
    assert sum(line.startswith("node") for line in everything) == 3 * 120
    assert rest not in "".join(everything)


def test_log_lines_are_printed_to_the_byte() -> None:
    assert JOB.logs is not None
    assert printed(Document(wire(JOB), job_views.job)).endswith("\n".join(["", *JOB.logs, ""]))


@pytest.mark.parametrize(
    ("lasted", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (7260, "2 h 1 min"),
        (-5, "0.0 s"),
    ],
)
def test_durations_read_easily(lasted: float, text: str) -> None:
    job = JOB.model_copy(update={"finished_at": NOW + timedelta(seconds=lasted)})

    assert f"Duration      {text}\n" in printed(Document(wire(job), job_views.job_heading))


def test_the_job_history_is_a_row_each() -> None:
    queued = JOB.model_copy(update={"id": 8, "status": JobStatus.QUEUED, "started_at": None, "error": ""})
    errored = JOB.model_copy(update={"error": "no master"})

    assert printed(Document(wire(last_page(Job, [queued, errored])), job_views.jobs)).splitlines() == [
        "ID  ACTION      NODES             STATUS   CREATED               DURATION   ERROR",
        "8   commission  node1-a, node2-b  Queued   2026-11-22T07:31:02Z",
        "7   commission  node1-a, node2-b  Errored  2026-11-22T07:31:02Z  1 h 2 min  no master",
    ]


def result(node: str, status: str | None, line: int | None = None) -> TaskResult:
    values = {"node": node, "status": status, "retries": 0, "message": None, "first_line": line, "last_line": line}
    return TaskResult.model_validate({**values, "started_at": RECENT, "finished_at": RECENT})


def shown(text: str) -> list[str]:
    """Return lines without what depends on the time."""
    return [re.sub(r"\d+\.\d s|\d+ min \d+ s", "<span>", line) for line in text.splitlines()]


def test_a_running_job_says_what_it_waits_for() -> None:
    busy = [BusyNode(node=f"node{n}", task="format\ndisks", since=RECENT - timedelta(minutes=2)) for n in (1, 2, 3, 4)]
    current = JobProgress(step="configure", play="all", task="format\ndisks", started_at=RECENT, busy=busy)
    job = wire(JOB.model_copy(update={"status": JobStatus.RUNNING, "current": current, "failures": []}))
    job |= {"recap": {}, "outcomes": {}}
    lines = shown(printed(Document({**job, "logs": None}, job_views.job)))
    waits = "configure: format disks, waiting for node1, node2, node3 and 1 more, for <span>"
    assert [line for line in lines if line.startswith("Task")] == [f"Task          {waits}"]
    assert lines[-5:-3] == ["BUSY NODE  TASK          FOR", "node1      format disks  <span>"]
    assert shown(job_views.job_progress(job)) == [waits]

    early = JobProgress(step="cleanup", play=None, task=None, started_at=None, busy=[])
    assert job_views.job_progress(wire(JOB.model_copy(update={"current": early}))) == "cleanup: starting ansible"
    assert job_views.job_progress(wire(JOB)) == ""


def test_tasks() -> None:
    times = {"started_at": RECENT, "finished_at": RECENT + timedelta(seconds=90)}
    about: dict[str, Any] = {"number": 1, "step": "configure", "play": "all", "path": None}
    bad = [result("node1", "failed", 7), result("node2", "ok", 3), result("node3", None), result("node4", "ok", 5)]
    tasks = [
        Task(**about, **times, task="format", results=bad),
        Task(**about, started_at=RECENT, finished_at=None, task="mount", results=[]),
    ]
    assert printed(Document(wire(last_page(Task, tasks)), job_views.tasks)).splitlines() == [
        "STEP       PLAY  TASK    DURATION    RESULTS                                      LINE",
        "configure  all   format  1 min 30 s  failed: node1, 2 ok, busy or cut off: node3  7",
        "configure  all   mount",
    ]
    assert printed(Document(wire(last_page(Task, [])), job_views.tasks)) == ""


def test_what_is_different() -> None:
    about: dict[str, Any] = {"step": "configure", "play": "all", "task": "mount"}
    failing = Change(**about, node="node1", before=None, after="failed", message="no\ndisk", line=7)
    changed = Change(**about, node="node2", before="ok", after="changed", message=None, line=None)
    diff = JobDiff(
        before=1, after=2, failing=[failing], changed=[changed], slower=[Slower(**about, before=1.25, after=75)]
    )
    assert printed(Document(wire(diff), job_views.diff)).splitlines() == [
        "WHAT     NODE   STEP       TASK   BEFORE       AFTER       MESSAGE  LINE",
        "fails    node1  configure  mount  not reached  failed      no disk  7",
        "changes  node2  configure  mount  ok           changed",
        "slower          configure  mount  1.2 s        1 min 15 s",
    ]
