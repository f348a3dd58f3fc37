"""Counts that only ever grow: of the jobs that have ended, also of those that were pruned since.

They are written in the transaction that ends a job, so neither a restart nor a crash makes them wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlmodel import Session

from clusterm.enums import Action, JobStatus
from clusterm.store import runtime_values, tables

BOUNDS: Final = (1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
"""Seconds up to which durations are counted; a provisioning run takes half an hour."""


@dataclass
class Durations:
    """How many took how long."""

    counts: list[int]
    """For each of the bounds and for what is above them: how many lasted no longer, but longer than the one before."""
    seconds: float
    """All of them together."""

    @classmethod
    def none(cls) -> "Durations":
        """Return those of nothing."""
        return cls(counts=[0] * (len(BOUNDS) + 1), seconds=0.0)

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.counts[sum(bound < seconds for bound in BOUNDS)] += 1
        self.seconds += seconds

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Yield each bound with how many lasted no longer, as Prometheus wants it."""
        total = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            total += count
            yield bound, total


@dataclass
class Totals:
    """Everything that is counted."""

    running: dict[tuple[Action, JobStatus], Durations]
    """How long jobs ran, from their start to their end."""
    waiting: Durations
    """How long the jobs that ran had waited for their turn."""
    lines: int
    bytes: int


def count(session: Session, job: tables.Job) -> None:
    """Count a job that ends now.

    Args:
        session: the transaction that ends it.
        job: the ended job.
    """
    totals = get(session)
    ran = totals.running.setdefault((job.action, job.status), Durations.none())
    assert job.finished_at is not None  # noqa: S101 -- it has ended
    # The clock may have been set back meanwhile.
    ran.add(max((job.finished_at - job.started_at).total_seconds(), 0.0) if job.started_at else 0.0)
    if job.started_at:
        totals.waiting.add(max((job.started_at - job.created_at).total_seconds(), 0.0))
    totals.lines += job.lines
    totals.bytes += job.bytes
    runtime_values.put(session, runtime_values.TOTALS, _to_json(totals))


def get(session: Session) -> Totals:
    """Return what was counted so far."""
    found = runtime_values.get(session, runtime_values.TOTALS)
    return Totals(
        running={
            (Action(action), JobStatus(status)): Durations(**durations)
            for action, of_action in found.get("running", {}).items()
            for status, durations in of_action.items()
        },
        waiting=Durations(**found["waiting"]) if found else Durations.none(),
        lines=found.get("lines", 0),
        bytes=found.get("bytes", 0),
    )


def _to_json(totals: Totals) -> dict[str, Any]:
    running: dict[str, dict[str, Any]] = {}
    for (action, status), durations in totals.running.items():
        running.setdefault(action, {})[status] = vars(durations)
    return {"running": running, "waiting": vars(totals.waiting), "lines": totals.lines, "bytes": totals.bytes}
