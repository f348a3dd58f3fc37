"""The progress of a job: its next step, and the outcome for each of its nodes.

Both follow from what the store holds, so that an executor that resumes after a crash decides the same.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from clusterm.common import batches
from clusterm.enums import Outcome
from clusterm.nodes import lifecycle
from clusterm.nodes.changes import Changes
from clusterm.store import definitions, tables
from clusterm.store.job_records import JobRecord


class NextStep(NamedTuple):
    """A step to run, or to resume."""

    name: str
    nodes: Sequence[str]
    batch: int | None
    """Its batch, from 1; None for a job without batches."""
    rolls_back: bool
    """Whether the step rolls back a failed one."""
    attempt: int = 1
    """How often it was begun on the nodes, this time included."""


class Registration(NamedTuple):
    """The result of registering a discovered machine as a node."""

    accepted: bool
    detail: str


@dataclass
class NodeOutcome:
    """The outcome of a job for one of its nodes, or for an address that it discovers."""

    target: str
    """Name or address, as in the job."""
    node: str | None
    """Name of the node; None for an address that is not a node's."""
    batch: int | None = None
    """Its batch, from 1; None for a job without batches."""
    begun: bool = True
    """Whether the job had begun its first step."""
    reached: bool = False
    """Whether its batch had begun."""
    passed: bool = False
    """Whether it passed by itself, whatever the other nodes did."""
    counts: bool = False
    """Whether its pass counts for its status: other nodes of its batch may have failed."""
    registration: Registration | None = None
    """For a machine that the job discovered."""
    changes: Changes = field(default_factory=dict)
    """What the end of the job changed in the node."""

    @property
    def outcome(self) -> Outcome:
        """What the job did to it, in one word."""
        if not self.reached:
            return Outcome.NOT_REACHED if self.begun else Outcome.SKIPPED
        if not self.passed or (self.registration is not None and not self.registration.accepted):
            return Outcome.FAILED
        return Outcome.PASSED if self.counts else Outcome.UNDONE


class _Batch(NamedTuple):
    number: int | None
    names: Sequence[str]
    steps: Sequence[tables.JobStep]
    """Its steps that have begun."""


def next_step(record: JobRecord) -> NextStep | None:
    """Return the next step of a running job; None at its end or after a batch with too many failures."""
    job = record.row
    spec = definitions.of_job(job)
    allowed, failures = batches.count(job.max_failures, len(record.nodes)), 0
    for batch in _batches(record):
        done = _done(batch)
        how = {"check": job.check, "partial": job.partial_success}
        stopped = job.stop_reason is not None
        if upcoming := lifecycle.next_step(spec, batch.names, done, **how, stopped=stopped):
            name, nodes, rolls_back, attempt = upcoming
            return NextStep(name, nodes, batch.number, rolls_back, attempt)
        failures += len(batch.names) - len(lifecycle.passed(spec, batch.names, done, **how))
        if _failed_step(batch.steps) and not 0 < failures <= allowed:
            return None
    return None


def outcomes(record: JobRecord, failed_nodes: Collection[str], *, failed: bool) -> list[NodeOutcome]:
    """Return the outcome for each node of a job that ends.

    Args:
        record: the job.
        failed_nodes: the nodes with failures.
        failed: whether it ends with an error.
    """
    job = record.row
    spec = definitions.of_job(job)
    found: list[NodeOutcome] = []
    for batch in _batches(record):
        reached = bool(batch.steps) or not failed
        passed = set(batch.names)
        if failed:
            passed = lifecycle.passed(spec, batch.names, _done(batch), check=job.check).difference(failed_nodes)
        whole_batch = batch.number is not None and len(passed) == len(batch.names) and not _failed_step(batch.steps)
        counts = not failed or whole_batch or job.partial_success
        found += [
            NodeOutcome(
                target=name,
                node=name if spec.on_nodes else None,
                batch=batch.number,
                begun=bool(record.steps),
                reached=reached,
                passed=reached and name in passed,
                counts=reached and name in passed and counts,
            )
            for name in batch.names
        ]
    return found


def failed_step(record: JobRecord) -> tables.JobStep | None:
    """Return the first step that has failed, and that no repetition has made good; None if there is none."""
    for batch in _batches(record):
        if failed := _failed_step(batch.steps):
            return failed
    return None


def is_complete(record: JobRecord) -> bool:
    """Return whether every node has passed every step."""
    job, spec = record.row, definitions.of_job(record.row)
    return bool(spec.steps) and all(
        len(lifecycle.passed(spec, batch.names, _done(batch), check=job.check)) == len(batch.names)
        for batch in _batches(record)
    )


def _failed_step(steps: Sequence[tables.JobStep]) -> tables.JobStep | None:
    for number, step in enumerate(steps, start=1):
        is_repeated = number < len(steps) and steps[number].attempt > 1
        if step.error and not is_repeated:
            return step
    return None


def _batches(record: JobRecord) -> Iterator[_Batch]:
    """Yield the batches of a job; one without a number for a job without batches."""
    names, limit = record.names, record.row.limit_batch
    if limit is None:
        yield _Batch(None, names, record.steps)
        return
    of_batch: dict[int | None, list[tables.JobStep]] = {}
    for step in record.steps:
        of_batch.setdefault(step.batch, []).append(step)
    for number, of_number in enumerate(batches.split(names, limit), start=1):
        yield _Batch(number, of_number, of_batch.get(number, []))


def _done(batch: _Batch) -> list[tuple[str, Sequence[str]]]:
    """Return the steps that have ended, and the nodes that passed each as far as ansible reported it."""
    ended = [step for step in batch.steps if step.finished_at is not None]
    return [(step.name, batch.names if step.error is None else step.passed or []) for step in ended]
