"""The results of a job as a grid of characters: nodes by tasks, small enough to be read at once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import String, func, select, type_coerce
from sqlmodel import Session, col

from clusterm import schemas
from clusterm.enums import FAILED_TASKS, TaskStatus
from clusterm.store import jobs as job_queries
from clusterm.store import tables

CELLS: Final = {
    TaskStatus.OK: ".",
    TaskStatus.CHANGED: "c",
    TaskStatus.SKIPPED: "s",
    TaskStatus.FAILED: "F",
    TaskStatus.UNREACHABLE: "U",
    TaskStatus.IGNORED: "i",
    TaskStatus.RESCUED: "r",
    TaskStatus.CLEARED: "l",
    None: "b",
}
"""The character of each status; that of None is for a task that runs or was interrupted on the node."""

NOT_RUN: Final = " "
"""The character of a task that did not begin on the node."""

_MAX_NAMED: Final = 1000
"""Nodes up to which the database is asked for their results only; it limits the parameters of a query."""

_task = tables.JobTask
_result = tables.TaskResult


def grid(session: Session, job: tables.Job, *, limit: int, skip: int = 0) -> schemas.JobGrid:
    """Return a page of the grid of a job; nodes that failed come first, then the others as in the request.

    Args:
        session: a reading transaction.
        job: the job.
        limit: the most nodes.
        skip: nodes on the pages before.
    """
    nodes, failed = _nodes(session, job)
    shown = nodes[skip : skip + limit]
    columns = tasks(session, job.id)
    return schemas.JobGrid.model_construct(
        job=job.id,
        tasks=columns,
        nodes=shown,
        failed=len(failed),
        total=len(nodes),
        rows=_rows(session, job.id, [task.number for task in columns], shown),
        next=str(skip + limit) if len(nodes) > skip + limit else None,
    )


def first_line(session: Session, job_id: int, node: str, task: int) -> int | None:
    """Return the number of the first log line of the last result of a task on a node; None if there is none."""
    query = select(col(_result.first_line)).where(
        col(_result.job_id) == job_id, col(_result.node) == node, col(_result.task) == task
    )
    return session.scalars(query.order_by(col(_result.number).desc()).limit(1)).first()


def _nodes(session: Session, job: tables.Job) -> tuple[list[str], set[str]]:
    """Return the nodes in the order of the grid, and the failed nodes."""
    failures = set(
        session.scalars(select(col(tables.JobFailure.node)).where(col(tables.JobFailure.job_id) == job.id).distinct())
    )
    results = select(col(_result.node)).where(col(_result.job_id) == job.id)
    failed = failures | set(session.scalars(results.where(col(_result.status).in_(FAILED_TASKS)).distinct()))
    others = sorted(session.scalars(results.distinct()))  # hosts that are not nodes of the job, too
    names = dict.fromkeys([*job_queries.node_names(session, job.id), *others])
    return sorted(names, key=lambda name: name not in failed), failed & set(names)


def tasks(session: Session, job_id: int) -> list[schemas.GridTask]:
    """Return the tasks of a job, in the order in which they began."""
    step = tables.JobStep
    query = (
        select(*(col(getattr(_task, name)) for name in ("number", "play", "name", "started_at", "finished_at")))
        .add_columns(col(step.name).label("step"))
        .join(step, (col(step.job_id) == col(_task.job_id)) & (col(step.number) == col(_task.step)))
        .where(col(_task.job_id) == job_id, col(_task.name).is_not(None))
        .order_by(col(_task.number))
    )
    medians, failed = _medians(session, job_id), _failed(session, job_id)
    return [
        schemas.GridTask.model_construct(
            number=row["number"],
            step=row["step"],
            play=row["play"],
            task=row["name"],
            started_at=row["started_at"],
            median_at=medians.get(row["number"]),
            finished_at=row["finished_at"],
            failed=failed.get(row["number"], 0),
        )
        for row in session.connection().execute(query).mappings()
    ]


def _medians(session: Session, job_id: int) -> dict[int, datetime]:
    """Return, by task, when half of its nodes had ended it."""
    of_task: Any = {"partition_by": col(_result.task)}
    placed = (
        select(col(_result.task), col(_result.finished_at).label("at"))
        .add_columns(func.row_number().over(order_by=col(_result.finished_at), **of_task).label("place"))
        .add_columns(func.count().over(**of_task).label("results"))
        .where(col(_result.job_id) == job_id, col(_result.finished_at).is_not(None))
        .subquery()
    )
    query = select(placed.c.task, placed.c.at).where(placed.c.place == (placed.c.results + 1) // 2)
    return dict(map(tuple, session.connection().execute(query)))


def _failed(session: Session, job_id: int) -> dict[int, int]:
    """Return, by task, on how many nodes it failed."""
    query = select(col(_result.task), func.count()).where(
        col(_result.job_id) == job_id, col(_result.status).in_(FAILED_TASKS)
    )
    return dict(map(tuple, session.connection().execute(query.group_by(col(_result.task)))))  # type: ignore[arg-type]


def _rows(session: Session, job_id: int, tasks: Sequence[int], nodes: Sequence[str]) -> list[str]:
    """Return the characters of each node; the last result counts if a task ran several times on a node."""
    columns = {number: column for column, number in enumerate(tasks)}
    rows = {node: [NOT_RUN] * len(tasks) for node in nodes}
    cells: dict[str | None, str] = {status and status.value: cell for status, cell in CELLS.items()}
    query = (
        # Converting each status to its member would take time.
        select(col(_result.task), col(_result.node), type_coerce(col(_result.status), String))
        .where(col(_result.job_id) == job_id)
        .order_by(col(_result.number))
    )
    if len(nodes) <= _MAX_NAMED:
        query = query.where(col(_result.node).in_(nodes))
    for task, node, status in session.connection().execute(query):
        if node in rows and task in columns:
            rows[node][columns[task]] = cells[status]
    return ["".join(row) for row in rows.values()]
