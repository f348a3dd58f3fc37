"""Differences between two jobs: newly failing and newly changed results, and slower tasks."""

from collections import Counter, defaultdict
from datetime import timedelta
from typing import Final, NamedTuple

from sqlalchemy import select
from sqlmodel import Session, col

from clusterm import schemas
from clusterm.enums import FAILED_TASKS, StepName, TaskStatus
from clusterm.store import tables

_UNCHANGED: Final = frozenset({TaskStatus.OK, TaskStatus.SKIPPED})
_SLOWER_FACTOR: Final = 2.0
_SLOWER_BY: Final = timedelta(seconds=1)
"""A task is slower if its duration has more than doubled, and increased by at least this."""


class _Name(NamedTuple):
    """The identity of a task in both jobs."""

    step: StepName
    play: str | None
    task: str


class _Job(NamedTuple):
    results: dict[tuple[_Name, str, int], schemas.TaskResult]  # by task, node, and number of the repetition
    durations: dict[_Name, timedelta]


def compare(session: Session, before: int, after: int) -> schemas.JobDiff:
    """Compare two jobs.

    Args:
        session: any transaction.
        before: the id of the earlier job.
        after: the id of the later job.
    """
    old, new = _read(session, before), _read(session, after)
    failing, changed = [], []
    for key, result in new.results.items():
        name, node, _ = key
        known = old.results.get(key)
        status = known.status if known else None
        change = schemas.ResultChange.model_construct(
            node=node,
            **name._asdict(),
            before=status,
            after=result.status,
            message=result.message,
            line=result.first_line,
        )
        if result.status in FAILED_TASKS and status not in FAILED_TASKS:
            failing.append(change)
        elif result.status is TaskStatus.CHANGED and status in _UNCHANGED:
            changed.append(change)
    slower = [
        schemas.DurationChange(**name._asdict(), before=then.total_seconds(), after=now.total_seconds())
        for name, now in new.durations.items()
        if (then := old.durations.get(name)) is not None and now > _SLOWER_FACTOR * then and now - then >= _SLOWER_BY
    ]
    return schemas.JobDiff(before=before, after=after, failing=failing, changed=changed, slower=slower)


def _read(session: Session, job_id: int) -> _Job:
    task, step, result = tables.JobTask, tables.JobStep, tables.TaskResult
    names: dict[int, _Name] = {}
    durations: dict[_Name, timedelta] = defaultdict(timedelta)
    query = (
        select(
            *(col(task.number), col(step.name), col(task.play), col(task.name)),
            *(col(task.started_at), col(task.finished_at)),
        )
        .join(step, (col(step.job_id) == col(task.job_id)) & (col(step.number) == col(task.step)))
        .where(col(task.job_id) == job_id, col(task.name).is_not(None))
    )
    for number, of_step, play, name, started_at, finished_at in session.connection().execute(query):
        names[number] = _Name(of_step, play, name or "")
        if started_at and finished_at:
            durations[names[number]] += finished_at - started_at
    results: dict[tuple[_Name, str, int], schemas.TaskResult] = {}
    times: Counter[tuple[_Name, str]] = Counter()
    columns = [col(getattr(result, name)) for name in ("task", *schemas.TaskResult.model_fields)]
    rows = session.connection().execute(
        select(*columns).where(col(result.job_id) == job_id).order_by(col(result.number))
    )
    for row in rows.mappings():
        if row["task"] in names:
            key = names[row["task"]], row["node"]
            results[*key, times[key]] = schemas.TaskResult.model_construct(**row)
            times[key] += 1
    return _Job(results, durations)
