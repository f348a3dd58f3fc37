"""The tasks that ansible ran in a job, and their results on each node.

A playbook may have tens of thousands of results. They are written and read as plain rows, because objects would be too
slow.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any, Final

from sqlalchemy import RowMapping, bindparam, distinct, func, insert, or_, select, update
from sqlmodel import Session, col

from clusterm import schemas
from clusterm.enums import FAILED_TASKS, TaskStatus
from clusterm.store import tables
from clusterm.store.sql_functions import contains

_task = tables.JobTask
_result = tables.TaskResult


def last_task(session: Session, job_id: int, *, before_step: int) -> int:
    """Return the number of the last task in the steps before a step, 0 if there is none."""
    query = select(func.max(col(_task.number))).where(col(_task.job_id) == job_id, col(_task.step) < before_step)
    return session.scalar(query) or 0


def task_numbers(session: Session, job_id: int, step: int) -> set[int]:
    """Return the numbers of the tasks and plays of a step."""
    query = select(col(_task.number)).where(col(_task.job_id) == job_id, col(_task.step) == step)
    return set(session.scalars(query))


def last_result(session: Session, job_id: int) -> int:
    """Return the number of the result that began last, 0 if there is none."""
    return session.scalar(select(func.max(col(_result.number))).where(col(_result.job_id) == job_id)) or 0


def latest(session: Session, job_id: int, step: int) -> list[dict[str, Any]]:
    """Return the result of a step that began last on each node."""
    numbers = (
        select(func.max(col(_result.number)))
        .join(_task, (col(_task.job_id) == col(_result.job_id)) & (col(_task.number) == col(_result.task)))
        .where(col(_result.job_id) == job_id, col(_task.step) == step)
        .group_by(col(_result.node))
    )
    query = (
        select(*_result.__table__.columns)  # type: ignore[attr-defined]
        .where(col(_result.job_id) == job_id, col(_result.number).in_(numbers))
        .order_by(col(_result.number))
    )
    return [dict(row) for row in session.connection().execute(query).mappings()]


def _busy(session: Session, step: tables.JobStep) -> Sequence[RowMapping]:
    """Return the unfinished results of a step with their tasks, in the order in which they began."""
    query = (
        select(*(col(getattr(_result, name)) for name in ("node", "started_at", "first_line")))
        .add_columns(col(_task.name), col(_task.play))
        .join(_task, (col(_task.job_id) == col(_result.job_id)) & (col(_task.number) == col(_result.task)))
        .where(col(_result.job_id) == step.job_id, col(_result.status).is_(None), col(_task.step) == step.number)
        .order_by(col(_result.number))
    )
    return session.connection().execute(query).mappings().all()


def add_tasks(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert tasks that have begun, each a mapping of the columns of `tables.JobTask`."""
    if rows:
        session.connection().execute(insert(_task), rows)


def end_tasks(session: Session, job_id: int, ended: Mapping[int, datetime]) -> None:
    """Store when tasks, by their numbers, ended on the latest node."""
    if ended:
        session.connection().execute(
            update(_task)
            .where(col(_task.job_id) == job_id, col(_task.number) == bindparam("ended"))
            .values(finished_at=bindparam("at")),
            [{"ended": number, "at": at} for number, at in ended.items()],
        )


def add(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert results, each a mapping of the columns of `tables.TaskResult`."""
    if rows:
        session.connection().execute(insert(_result), rows)


def change(session: Session, rows: Collection[Mapping[str, Any]]) -> None:
    """Update stored results, each given as for `add`."""
    if not rows:
        return
    columns = ("status", "retries", "message", "first_line", "last_line", "finished_at")
    session.connection().execute(
        update(_result)
        .where(col(_result.job_id) == bindparam("of_job"), col(_result.number) == bindparam("its_number"))
        .values({name: bindparam(f"new_{name}") for name in columns}),
        [
            {"of_job": row["job_id"], "its_number": row["number"], **{f"new_{name}": row[name] for name in columns}}
            for row in rows
        ],
    )


def clear_failures(session: Session, job_id: int, step: int, cleared: Mapping[str, int]) -> None:
    """Mark failures of a step as cleared.

    Args:
        session: a writing transaction.
        job_id: the job.
        step: the number of the step.
        cleared: by node, the number of the last result that may be one of these failures.
    """
    if not cleared:
        return
    tasks_of_step = select(col(_task.number)).where(col(_task.job_id) == job_id, col(_task.step) == step)
    session.connection().execute(
        update(_result)
        .where(col(_result.job_id) == job_id, col(_result.task).in_(tasks_of_step))
        .where(col(_result.node) == bindparam("its_node"), col(_result.number) <= bindparam("its_number"))
        .where(or_(*(col(_result.status) == status for status in FAILED_TASKS)))  # IN takes no list of parameters
        .values(status=TaskStatus.CLEARED),
        [{"its_node": node, "its_number": number} for node, number in cleared.items()],
    )


MAX_PAGE_RESULTS: Final = 10_000
"""Results after which a page of tasks ends, so that its size does not depend on how many nodes a job has."""


def tasks(
    session: Session,
    job_id: int,
    *,
    limit: int,
    after: int = 0,
    nodes: Collection[str] | None = None,
    status: TaskStatus | None = None,
    task: str | None = None,
) -> tuple[list[schemas.Task], bool]:
    """Return a page of a job's tasks with their results, in the order in which they began, and whether more follow.

    Args:
        session: any transaction.
        job_id: the job.
        limit: the maximum number of tasks; fewer are returned if they have many results.
        after: only tasks with a greater number.
        nodes: only results of these nodes, and tasks with such results.
        status: only results with this status, and tasks with such results.
        task: only tasks whose names contain this text, in upper or lower case.
    """
    step = tables.JobStep
    query = (
        select(*(col(getattr(_task, name)) for name in ("number", "play", "name", "path", "started_at", "finished_at")))
        .add_columns(col(step.name).label("step"))
        .join(step, (col(step.job_id) == col(_task.job_id)) & (col(step.number) == col(_task.step)))
        .where(col(_task.job_id) == job_id, col(_task.number) > after, col(_task.name).is_not(None))
        .order_by(col(_task.number))
        .limit(limit + 1)
    )
    wanted = [col(_result.job_id) == job_id]
    if nodes is not None:
        wanted.append(col(_result.node).in_(nodes))
    if status is not None:
        wanted.append(col(_result.status) == status)
    if task is not None:
        query = query.where(contains(col(_task.name), task, ignore_case=True))
    if len(wanted) > 1:
        query = query.where(col(_task.number).in_(select(col(_result.task)).where(*wanted)))
    found_tasks = session.connection().execute(query).mappings().all()
    if not found_tasks:
        return [], False
    page = col(_result.task).between(found_tasks[0]["number"], found_tasks[-1]["number"])
    counting = select(col(_result.task), func.count()).where(*wanted, page).group_by(col(_result.task))
    counts: dict[int, int] = dict(map(tuple, session.connection().execute(counting)))  # type: ignore[arg-type]
    totals = accumulate(counts.get(row["number"], 0) for row in found_tasks)
    rows = [
        row
        for position, (row, total) in enumerate(zip(found_tasks, totals, strict=True))
        if position < limit and (position == 0 or total <= MAX_PAGE_RESULTS)
    ]
    of_tasks: dict[int, list[schemas.TaskResult]] = defaultdict(list)
    page = col(_result.task).between(rows[0]["number"], rows[-1]["number"])
    columns = [col(getattr(_result, name)) for name in ("task", *schemas.TaskResult.model_fields)]
    found = session.connection().execute(select(*columns).where(*wanted, page).order_by(col(_result.number)))
    for row in found.mappings():
        of_tasks[row["task"]].append(schemas.TaskResult.model_construct(**row))
    items = [schemas.Task.model_construct(task=row["name"], results=of_tasks[row["number"]], **row) for row in rows]
    return items, len(rows) < len(found_tasks)


def current(session: Session, step: tables.JobStep) -> schemas.JobProgress:
    """Return the progress of a running step."""
    query = select(_task).where(col(_task.job_id) == step.job_id, col(_task.step) == step.number)
    latest = session.scalars(
        query.where(col(_task.name).is_not(None)).order_by(col(_task.number).desc()).limit(1)
    ).first()
    failed = select(func.count(distinct(col(tables.JobFailure.node)))).where(
        col(tables.JobFailure.job_id) == step.job_id, col(tables.JobFailure.step) == step.name
    )
    return schemas.JobProgress(
        step=step.name,
        play=latest.play if latest else None,
        task=latest.name if latest else None,
        number=_count(session, step),
        expected=_count(session, former) if (former := _passed_before(session, step)) else None,
        failed=session.scalar(failed) or 0,
        started_at=latest.started_at if latest else step.started_at,
        busy=[
            schemas.BusyNode(node=row["node"], task=row["name"] or "", since=row["started_at"])
            for row in _busy(session, step)
        ],
    )


def interrupted(session: Session, step: tables.JobStep, stopped_at: datetime) -> list[schemas.Failure]:
    """Return a failure for each node that is busy with a task of a step that was stopped.

    Args:
        session: any transaction.
        step: the step.
        stopped_at: when it was asked to stop.
    """
    return [
        schemas.Failure(
            node=row["node"],
            step=step.name,
            play=row["play"],
            task=row["name"],
            message=f"busy for {_seconds(row['started_at'], stopped_at):.0f} s when the job was stopped",
            line=row["first_line"],
        )
        for row in _busy(session, step)
    ]


def _seconds(start: datetime | None, end: datetime) -> float:
    return max((end - start).total_seconds(), 0.0) if start else 0.0


def _count(session: Session, step: tables.JobStep) -> int:
    """Return the number of tasks of a step that have begun."""
    query = select(func.count()).where(col(_task.job_id) == step.job_id, col(_task.step) == step.number)
    return session.scalar(query.where(col(_task.name).is_not(None))) or 0


def _passed_before(session: Session, step: tables.JobStep) -> tables.JobStep | None:
    """Return the last run of the same step of the same action that has passed; None if there is none."""
    job, former = tables.Job, tables.JobStep
    action = select(col(job.action)).where(col(job.id) == step.job_id).scalar_subquery()
    query = (
        select(former)
        .join(job, col(job.id) == col(former.job_id))
        .where(col(job.action) == action, col(former.name) == step.name, col(former.playbook) == step.playbook)
        .where(col(former.exit_status) == 0, col(former.job_id) != step.job_id)
        .order_by(col(former.job_id).desc())
        .limit(1)
    )
    return session.scalars(query).first()
