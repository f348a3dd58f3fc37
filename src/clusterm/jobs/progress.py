"""How far a job is: which step of which batch comes next, and how each node did.

It is read from the store, so that whoever goes on after a crash comes to the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from clusterm.enums import StepName
from clusterm.nodes import lifecycle
from clusterm.store import jobs as job_queries
from clusterm.store import tables
from clusterm.store.session import Session


class NextStep(NamedTuple):
    """A step to be run, or to be gone on with."""

    name: StepName
    nodes: Sequence[str]
    batch: int | None
    """Which batch it is for, from 1; None where there are no batches."""
    cleans_up: bool
    """Whether it cleans up after a configure step that failed."""


@dataclass
class Outcomes:
    """How the nodes of a job that ends did."""

    passed: set[str] = field(default_factory=set)
    """Those that passed by themselves."""
    counted: set[str] = field(default_factory=set)
    """Those of them for which it counts, whatever others did."""
    reached: set[str] = field(default_factory=set)
    """Those whose batch had begun."""
    batch: int | None = None
    """The last batch that had begun, where there are any."""


def next_step(session: Session, job: tables.Job) -> NextStep | None:
    """Return the step of a running job that comes next; None if it is at its end or stops at a batch that failed."""
    for number, names, steps in _batches(session, job):
        done = _done(steps, names)
        if not job.partial_success:
            done = [(step, passed if len(passed) == len(names) else []) for step, passed in done]
        if upcoming := lifecycle.next_step(job.action, names, done, check=job.check):
            return NextStep(*upcoming, number, cleans_up=len(done) >= len(lifecycle.STEPS[job.action]))
        if any(step.error for step in steps):
            return None
    return None


def outcomes(session: Session, job: tables.Job, error: str | None) -> Outcomes:
    """Return how the nodes of a job did that ends now, with an error if it has one."""
    found = Outcomes()
    for number, names, steps in _batches(session, job):
        if number is not None and not steps:
            break
        found.batch = number
        found.reached.update(names)
        own = set(names) if error is None else lifecycle.passed(job.action, names, _done(steps, names))
        if error is not None:
            own.difference_update(failure["node"] for failure in job.failures)
        whole = number is not None and len(own) == len(names) and not any(step.error for step in steps)
        found.passed |= own
        if error is None or whole or job.partial_success:
            found.counted |= own
    return found


def _batches(session: Session, job: tables.Job) -> Iterator[tuple[int | None, Sequence[str], Sequence[tables.JobStep]]]:
    """Yield the batches of a job, each with its nodes and the steps that have begun; else all nodes at once."""
    names = job_queries.node_names(session, job.id)
    steps = job_queries.steps(session, job.id)
    size = job.limit_batch
    if size is None:
        yield None, names, steps
        return
    of_batch: dict[int | None, list[tables.JobStep]] = {}
    for step in steps:
        of_batch.setdefault(step.batch, []).append(step)
    for number, start in enumerate(range(0, len(names), size), start=1):
        yield number, names[start : start + size], of_batch.get(number, [])


def _done(steps: Sequence[tables.JobStep], names: Sequence[str]) -> list[tuple[StepName, Sequence[str]]]:
    """Return the steps that have been run, and the nodes that passed each as far as ansible told."""
    ended = [step for step in steps if step.finished_at is not None]
    return [(step.name, names if step.error is None else step.passed or []) for step in ended]
