"""Compare the accounts of a run, and explain the differences that have a reason."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, cast

from differential.account import FAILED, FailureName, Recorded, Stored


class Kind(StrEnum):
    """What the accounts differ about."""

    STATUS = "status"
    ERROR = "error"
    RECAP = "recap"
    OUTCOME = "outcome"
    EVENTS = "events"
    FAILURES = "failures"
    RESULTS = "results"
    TASKS = "number of tasks"
    LINES = "lines"
    AUTHOR = "author of a line"
    FAILURE_LINE = "line of a failure"
    TWO_RUNS = "a run without clusterm"


class Difference(NamedTuple):
    """Something about which ansible and clusterm differ."""

    kind: Kind
    subject: str
    """Which task, line or failure; empty if there is only one of the kind."""
    ansible: object
    clusterm: object

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}\n    ansible:  {self.ansible}\n    clusterm: {self.clusterm}"


class Explanation(NamedTuple):
    """Differences that are meant to be."""

    reason: str
    """Found in the same words in CONTRIBUTING.md."""
    applies: Callable[[Difference, Recorded, Sequence[str]], bool]
    """Returns whether a difference is such a one, given the account of ansible and the nodes of the job."""


def _is_between_callbacks(difference: Difference, _: Recorded, __: Sequence[str]) -> bool:
    return difference.kind is Kind.AUTHOR and difference.ansible is None


def _has_failed_elsewhere(difference: Difference, recorded: Recorded, nodes: Sequence[str]) -> bool:
    others = [counts for host, counts in recorded.recap.items() if host not in nodes]
    failed = any(counts["failed"] or counts["unreachable"] for counts in others)
    return difference.kind is Kind.OUTCOME and difference.clusterm == [] and failed


def _was_handled(difference: Difference, recorded: Recorded, _: Sequence[str]) -> bool:
    if difference.kind is not Kind.FAILURES or not isinstance(difference.ansible, list):
        return False
    here, there = Counter(difference.ansible), Counter(cast("list[object]", difference.clusterm))
    missing = [FailureName(difference.subject, *reason) for reason in here - there]
    return bool(there) and not there - here and recorded.includes.issuperset(missing)


EXPLANATIONS: Final = (
    Explanation(
        "A line that ansible writes between two callbacks, such as most warnings, is attributed to the next callback.",
        _is_between_callbacks,
    ),
    Explanation(
        "A missing file or role that a rescue section handled is not among the failures, although ansible counts it.",
        _was_handled,
    ),
    Explanation("No node passes if a host failed that is not a node of the job.", _has_failed_elsewhere),
)
"""The differences that are no defects."""


def differences(recorded: Recorded, stored: Stored, nodes: Sequence[str]) -> list[Difference]:
    """Compare what ansible did in a job with what clusterm has stored about it.

    Args:
        recorded: the account of the recorder in the job.
        stored: the account of clusterm.
        nodes: the nodes of the job.

    Returns:
        The differences that no explanation applies to.
    """
    return [
        difference
        for difference in _all_differences(recorded, stored, nodes)
        if not any(explanation.applies(difference, recorded, nodes) for explanation in EXPLANATIONS)
    ]


def differences_of_runs(bare: tuple[int, Recorded, list[str]], recorded: Recorded, stored: Stored) -> list[Difference]:
    """Compare a run of bare ansible with a job: clusterm must not change what ansible does.

    Args:
        bare: exit status, account and output of the bare run.
        recorded: the account of the recorder in the job.
        stored: the account of clusterm.
    """
    status, account, output = bare
    found = [*_differs(Kind.TWO_RUNS, "exit status", status, _exit_status(stored))]
    for member in ("recap", "passed", "failures", "results"):
        found += _differs(Kind.TWO_RUNS, member, getattr(account, member), getattr(recorded, member))
    # The order within a task, and how often a task is polled or retried, are chance.
    here, there = {_normalized(line) for line in output}, {_normalized(line.text) for line in stored.lines}
    return [*found, *_differs(Kind.TWO_RUNS, "output", sorted(here - there), sorted(there - here))]


def _all_differences(recorded: Recorded, stored: Stored, nodes: Sequence[str]) -> Iterator[Difference]:
    passed = recorded.passed
    status = "Complete" if passed == set(nodes) and _exit_status(stored) == 0 else "Errored"
    yield from _differs(Kind.STATUS, "", status, stored.job["status"])
    yield from _differs(Kind.ERROR, "", status != "Complete", stored.job["error"] != "")
    yield from _differs(Kind.RECAP, "", recorded.recap, stored.recap)
    yield from _differs(Kind.OUTCOME, "", sorted(passed), sorted(stored.passed))
    if not stored.job["check"]:
        results = {node: "pass" if node in stored.passed else "fail" for node in nodes}
        yield from _differs(Kind.EVENTS, "", results, stored.events)
    yield from _failure_differences(recorded, stored)
    yield from _task_differences(recorded, stored)
    yield from _line_differences(recorded, stored)


def _failure_differences(recorded: Recorded, stored: Stored) -> Iterator[Difference]:
    """Compare why nodes failed: their own failures, or those of another node, or that no play is for them."""
    for node in sorted({node for node, *_ in [*recorded.failures, *stored.failures]} | set(stored.job["nodes"])):
        here = [(play, task) for name, play, task in recorded.failures if name == node]
        there = [(play, task) for name, play, task in stored.failures if name == node]
        if node in recorded.passed:
            here = []  # ansible has counted a failure, but has not failed the node for it
        elif not here:
            of_others: set[tuple[str | None, str | None]] = {
                (task.play, task.task)
                for task, results in recorded.results.items()
                if any(FAILED.union(["rescued"]).intersection(statuses) for statuses in results.values())
            }
            here = [reason for reason in there if reason in of_others or reason == (None, None)]
            if node in recorded.failed and not here:
                here = sorted(of_others)[:1]
        yield from _differs(Kind.FAILURES, node, here, there)


def _task_differences(recorded: Recorded, stored: Stored) -> Iterator[Difference]:
    """Compare tasks and their results."""
    for task in sorted(recorded.results.keys() | stored.results.keys(), key=str):
        here, there = recorded.results.get(task), stored.results.get(task)
        yield from _differs(Kind.RESULTS, str(task), here, there)
        if here is None or there is None:
            continue
        least = max([1, *(len(statuses) for statuses in here.values())])
        most = max(least, recorded.announced.get(task, 0))
        if not least <= stored.rows[task] <= most:
            yield Difference(Kind.TASKS, str(task), f"{least} to {most}", stored.rows[task])


def _line_differences(recorded: Recorded, stored: Stored) -> Iterator[Difference]:
    """Compare the lines of output in order, who wrote each, and which of them report failures."""
    before = max(0, len(stored.lines) - len(recorded.lines))  # written before ansible loaded the recorder
    here, there = [line.text for line in recorded.lines], [line.text for line in stored.lines[before:]]
    if here != there:
        pairs = enumerate(zip(here, there, strict=False))
        first = next((number for number, (one, other) in pairs if one != other), min(len(here), len(there)))
        yield Difference(Kind.LINES, f"from {first} on", here[first : first + 3], there[first : first + 3])
        return
    for ours, theirs in zip(recorded.lines, stored.lines[before:], strict=True):
        if ours.text:
            yield from _differs(Kind.AUTHOR, repr(ours.text), ours.author, theirs.author)
    waiting = {failure: list(lines) for failure, lines in recorded.failure_lines.items()}
    for failure, position in stored.failure_lines:
        if not (lines := waiting.get(failure)):
            continue  # this is a difference of the failures
        reports: set[int | None] = {line + before for line in lines.pop(0)} or {None}
        if position not in reports:
            texts = [stored.lines[line].text for line in reports if line is not None]
            text = None if position is None else stored.lines[position].text
            yield Difference(Kind.FAILURE_LINE, str(failure), texts, text)


def _exit_status(stored: Stored) -> int | None:
    return stored.job["steps"][0]["exit_status"] if stored.job["steps"] else None


def _differs(kind: Kind, subject: str, ansible: object, clusterm: object) -> Iterator[Difference]:
    if ansible != clusterm:
        yield Difference(kind, subject, ansible, clusterm)


def _normalized(text: str) -> str:
    """Return a line without what differs between two runs: times, process ids, and names of directories."""
    if text.startswith("ASYNC POLL") or "- RETRYING: [" in text:
        return ""
    included = re.fullmatch(r"(included: .* for )(.*?)( => .*)?", text)
    if included:  # the hosts are in the order in which they came to the task
        text = f"{included[1]}{sorted(included[2].split(', '))}{included[3]}"
    return re.sub(r"/tmp[\w-]+|/dev/shm/[\w/-]+|\d+", "0", text)
