"""Counters of ended jobs. They only increase, and deleting old jobs does not change them.

The transaction that ends a job updates the counters, so they stay correct across restarts and crashes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlmodel import Session

from clusterm.enums import JobStatus
from clusterm.store import runtime_values, tables

BOUNDS: Final = (1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
"""Upper bounds of the histograms of durations, in seconds. A provisioning run takes about half an hour."""


@dataclass
class Durations:
    """A histogram of durations."""

    counts: list[int]
    """How many durations are up to each bound and above the one before; the last number is for longer ones."""
    seconds: float
    """Sum of all durations."""

    @classmethod
    def none(cls) -> "Durations":
        """Return an empty histogram."""
        return cls(counts=[0] * (len(BOUNDS) + 1), seconds=0.0)

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[sum(bound < seconds for bound in BOUNDS)] += 1
        self.seconds += seconds

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Yield each bound and the number of durations up to it, as Prometheus defines the buckets of a histogram."""
        total = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            total += count
            yield bound, total


@dataclass
class Totals:
    """All counters."""

    running: dict[tuple[str, JobStatus], Durations]
    """Durations from the start of jobs to their end."""
    waiting: Durations
    """Durations from the acceptance of jobs to their start; jobs that never started are not counted."""
    lines: int
    bytes: int


def count(session: Session, job: tables.Job) -> None:
    """Count an ended job.

    Args:
        session: the transaction that ends the job.
        job: the ended job.
    """
    totals = get(session)
    ran = totals.running.setdefault((job.action, job.status), Durations.none())
    ran.add(job.seconds or 0.0)
    if job.waited is not None:
        totals.waiting.add(job.waited)
    totals.lines += job.lines
    totals.bytes += job.bytes
    runtime_values.put(session, runtime_values.TOTALS, _to_json(totals))


def get(session: Session) -> Totals:
    """Return the counters."""
    found = runtime_values.get(session, runtime_values.TOTALS)
    return Totals(
        running={
            (action, JobStatus(status)): Durations(**durations)
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
