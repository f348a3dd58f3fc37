"""What must hold of a job whose steps write numbered lines, whatever processes died meanwhile."""

import re
from collections.abc import Iterator
from typing import Any

from clusterm.enums import StepName
from support import rules


def done_steps(job: dict[str, Any]) -> list[tuple[StepName, list[str]]]:
    """Return the steps of a job, each with the nodes that it passed on."""
    return [(StepName(step["name"]), job["nodes"] if step["exit_status"] == 0 else []) for step in job["steps"]]


def check_steps(job: dict[str, Any], action: str) -> bool:
    """Check that a job ran the steps of its action, and ended as they did; return whether it passed."""
    done = done_steps(job)
    for position, (name, _) in enumerate(done):
        assert rules.next_step(action, job["nodes"], done[:position]) == (name, job["nodes"])
    passed = bool(done) and all(nodes for _, nodes in done) and rules.next_step(action, job["nodes"], done) is None
    assert (job["status"] == "Complete") == passed == (job["error"] == ""), "the status is not what the steps say"
    return passed


def numbers_of_steps(job: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """Check that the log of a job is whole, and yield each step with the numbers in its part of the log."""
    assert len(job["logs"]) == job["lines"]
    starts = [step["first_line"] or job["lines"] + 1 for step in job["steps"]]
    ends = [*starts, job["lines"] + 1][1:]
    for step, first, end in zip(job["steps"], starts, ends, strict=True):
        log = "\n".join(job["logs"][first - 1 : end - 1])
        yield step, [int(found) for found in re.findall(rf"\b{job['id']} {step['name']} number (\d+)", log)]
