"""What the traces of ended jobs are made of, and how far they are exported.

Jobs are exported in the order in which they ended, so that one number tells how far.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import func, or_, select
from sqlmodel import Session, col

from clusterm.enums import FAILED_TASKS, TaskStatus
from clusterm.store import jobs as job_queries
from clusterm.store import runtime_values, tables
from clusterm.store.sql_functions import seconds_between

_MAX_LINE_CHARACTERS: Final = 512 * 1024
"""Characters after which a batch of lines ends."""

Row = dict[str, Any]
"""Columns by name."""

_task = tables.JobTask
_result = tables.TaskResult


@dataclass
class Progress:
    """How far jobs are exported."""

    order: int
    """`end_order` of the last job that was exported or dropped."""
    batches: int = 0
    """How many batches of the job after that were exported."""
    exported: int = 0
    """Number of exported jobs."""
    dropped: int = 0
    """Number of jobs of which not everything was exported."""


def begin(session: Session) -> None:
    """Export the jobs that end from now on, unless an earlier service has begun with that."""
    stored = runtime_values.get(session, runtime_values.TELEMETRY)
    if "order" not in stored:
        _save(session, Progress(job_queries.next_end_order(session) - 1, **stored))


def end(session: Session) -> None:
    """Forget how far jobs are exported, but not how many were. Jobs that end from now on are not exported."""
    stored = runtime_values.get(session, runtime_values.TELEMETRY)
    if stored.pop("order", None) is not None:
        stored["batches"] = 0
        runtime_values.put(session, runtime_values.TELEMETRY, stored)


def progress(session: Session) -> Progress:
    """Return how far jobs are exported. If they are not, it is as if all were."""
    stored = runtime_values.get(session, runtime_values.TELEMETRY)
    return Progress(**({"order": job_queries.next_end_order(session) - 1} | stored))


def record_batches(session: Session, batches: int) -> None:
    """Record how many batches of the next job were exported."""
    found = progress(session)
    found.batches = batches
    _save(session, found)


def record_job(session: Session, job: tables.Job, *, exported: int = 0, dropped: int = 0) -> None:
    """Record that the next job is done, and count it."""
    found = progress(session)
    done = Progress(job.end_order or 0, 0, found.exported + exported, found.dropped + dropped)
    _save(session, done)


def record_deletion(session: Session, job: tables.Job) -> None:
    """Count a job that is deleted as dropped, unless it was exported before."""
    found = progress(session)
    if job.end_order is not None and job.end_order > found.order:
        found.dropped += 1
        _save(session, found)


def pending(session: Session, progress: Progress) -> int:
    """Return the number of jobs that are still to be exported."""
    query = select(func.count()).where(col(tables.Job.end_order) > progress.order)
    return session.scalar(query) or 0


def next_job(session: Session, progress: Progress) -> tables.Job | None:
    """Return the job to export next; None if there is none."""
    order = col(tables.Job.end_order)
    return session.scalars(select(tables.Job).where(order > progress.order).order_by(order).limit(1)).first()


def count_tasks(session: Session, job_id: int) -> int:
    """Return the number of tasks of a job."""
    query = select(func.count()).where(col(_task.job_id) == job_id, col(_task.name).is_not(None))
    return session.scalar(query) or 0


def tasks(session: Session, job_id: int, *, after: int, limit: int) -> Sequence[tables.JobTask]:
    """Return the next tasks and starts of plays of a job, in the order in which they began."""
    query = select(_task).where(col(_task.job_id) == job_id, col(_task.number) > after)
    return session.scalars(query.order_by(col(_task.number)).limit(limit)).all()


def result_counts(session: Session, job_id: int, first: int, last: int) -> dict[int, dict[TaskStatus | None, int]]:
    """Return the number of results by status, for each task with a number from `first` to `last`."""
    status = col(_result.status)
    query = (
        select(col(_result.task), status, func.count())
        .where(col(_result.job_id) == job_id, col(_result.task).between(first, last))
        .group_by(col(_result.task), status)
    )
    found: dict[int, dict[TaskStatus | None, int]] = {}
    for task, how, number in session.connection().execute(query):
        found.setdefault(task, {})[how] = number
    return found


def notable_results(session: Session, job_id: int, first: int, last: int, limit: int) -> dict[int, list[Row]]:
    """Return the first failed results and the slowest results of each task, at most `limit` of either."""
    task, number, rank = col(_result.task), col(_result.number), func.row_number()
    failed = col(_result.status).in_(FAILED_TASKS)
    duration = seconds_between(col(_result.started_at), col(_result.finished_at))
    ranked = (
        select(
            *_result.__table__.columns,  # type: ignore[attr-defined]
            failed.label("failed"),
            rank.over(partition_by=task, order_by=(failed.desc().nulls_last(), number)).label("by_failure"),
            rank.over(partition_by=task, order_by=(duration.desc().nulls_last(), number)).label("by_duration"),
        )
        .where(col(_result.job_id) == job_id, task.between(first, last))
        .subquery()
    )
    chosen = or_(ranked.c.by_duration <= limit, ranked.c.failed & (ranked.c.by_failure <= limit))
    found: dict[int, list[Row]] = {}
    for row in session.connection().execute(select(ranked).where(chosen).order_by(ranked.c.number)).mappings():
        found.setdefault(row["task"], []).append(dict(row))
    return found


def lines(session: Session, job_id: int, *, after: int, limit: int) -> list[Row]:
    """Return the next lines of a job's log, up to a number and a size."""
    line = tables.LogLine
    columns = (col(getattr(line, name)) for name in ("seq", "at", "text", "task", "node"))
    query = select(*columns).where(col(line.job_id) == job_id, col(line.seq) > after).order_by(col(line.seq))
    found, size = [], 0
    for row in session.connection().execute(query.limit(limit)).mappings():
        found.append(dict(row))
        size += len(row["text"])
        if size > _MAX_LINE_CHARACTERS:
            break
    return found


def _save(session: Session, progress: Progress) -> None:
    runtime_values.put(session, runtime_values.TELEMETRY, asdict(progress))
