"""Differences between two jobs: newly failing and newly changed results, and slower tasks."""

import heapq
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select, text
from sqlmodel import Session, col

from clusterm import schemas
from clusterm.enums import FAILED_TASKS, TaskStatus
from clusterm.store import tables

_UNCHANGED: Final = frozenset({TaskStatus.OK, TaskStatus.SKIPPED})
_MAX_LISTED: Final = 5000
_ROWS_AT_ONCE: Final = 1000
_SLOWER_FACTOR: Final = 2.0
_SLOWER_BY: Final = timedelta(seconds=1)
"""A task is slower if its duration has more than doubled, and increased by at least this."""


_Identity = tuple[str, str, str, str, int]
"""By what a result is found in another job: step, play, task, node, and number of the repetition."""

_END: Final = (None, None)


class _Name(NamedTuple):
    """The identity of a task in both jobs."""

    step: str
    play: str | None
    task: str


class _First:
    """The first of many changes, in the order of their results, and how many there are."""

    def __init__(self) -> None:
        self._latest_first: list[tuple[int, schemas.ResultChange]] = []
        self.count = 0

    def add(self, number: int, change: schemas.ResultChange) -> None:
        self.count += 1
        keep = heapq.heappushpop if self.count > _MAX_LISTED else heapq.heappush
        keep(self._latest_first, (-number, change))

    def listed(self) -> list[schemas.ResultChange]:
        return [change for _, change in sorted(self._latest_first, reverse=True)]


def compare(session: Session, before: int, after: int) -> schemas.JobDiff:
    """Compare two jobs.

    Args:
        session: any transaction.
        before: the id of the earlier job.
        after: the id of the later job.
    """
    failing, changed = _First(), _First()
    for known, result in _pairs(session, before, after):
        status = known.status if known else None
        if result.status in FAILED_TASKS and status not in FAILED_TASKS:
            failing.add(result.number, _change(status, result))
        elif result.status is TaskStatus.CHANGED and status in _UNCHANGED:
            changed.add(result.number, _change(status, result))
    durations = _durations(session, before)
    slower = [
        schemas.DurationChange(**name._asdict(), before=then.total_seconds(), after=now.total_seconds())
        for name, now in _durations(session, after).items()
        if (then := durations.get(name)) is not None and now > _SLOWER_FACTOR * then and now - then >= _SLOWER_BY
    ]
    lists = failing.listed(), changed.listed()
    omitted = failing.count + changed.count - sum(map(len, lists))
    return schemas.JobDiff(
        before=before, after=after, failing=lists[0], changed=lists[1], omitted=omitted, slower=slower
    )


def _pairs(session: Session, before: int, after: int) -> Iterator[tuple[Any, Any]]:
    """Yield each result of the later job, after the one in the earlier job, or None.

    Both are read in the same order, which the database makes, so that memory does not depend on how many there are.
    """
    old, new = _results(session, before), _results(session, after)
    key, known = next(old, _END)
    for identity, result in new:
        while key is not None and key < identity:
            key, known = next(old, _END)
        yield known if key == identity else None, result


def _results(session: Session, job_id: int) -> Iterator[tuple[_Identity, Any]]:
    """Yield the results of a job and their identities, in the order of the identities."""
    step, task, result = tables.JobStep, tables.JobTask, tables.TaskResult
    query = (
        select(col(step.name).label("step"), func.coalesce(col(task.play), ""), col(task.name), col(result.node))
        .add_columns(*(col(getattr(result, name)) for name in ("number", "status", "message", "first_line")))
        .add_columns(col(task.play))
        .join(task, (col(task.job_id) == col(result.job_id)) & (col(task.number) == col(result.task)))
        .join(step, (col(step.job_id) == col(task.job_id)) & (col(step.number) == col(task.step)))
        .where(col(result.job_id) == job_id, col(task.name).is_not(None))
        .order_by(text("1, 2, 3, 4"), col(result.number))
    )
    last, times = None, 0
    for row in session.connection().execute(query).yield_per(_ROWS_AT_ONCE):
        task_on_node = tuple(row[:4])
        last, times = task_on_node, times + 1 if task_on_node == last else 1
        yield (*task_on_node, times), row


def _change(before: TaskStatus | None, result: Any) -> schemas.ResultChange:
    return schemas.ResultChange.model_construct(
        node=result.node,
        step=result.step,
        play=result.play,
        task=result.name,
        before=before,
        after=result.status,
        message=result.message,
        line=result.first_line,
    )


def _durations(session: Session, job_id: int) -> dict[_Name, timedelta]:
    """Return how long each task took, summed over its runs."""
    step, task = tables.JobStep, tables.JobTask
    query = (
        select(col(step.name), col(task.play), col(task.name), col(task.started_at), col(task.finished_at))
        .join(step, (col(step.job_id) == col(task.job_id)) & (col(step.number) == col(task.step)))
        .where(col(task.job_id) == job_id, col(task.name).is_not(None))
    )
    durations: dict[_Name, timedelta] = defaultdict(timedelta)
    for of_step, play, name, started_at, finished_at in session.connection().execute(query):
        if started_at and finished_at:
            durations[_Name(of_step, play, name or "")] += finished_at - started_at
    return durations
