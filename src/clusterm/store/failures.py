"""Why nodes failed in the steps of jobs.

A job may have a failure for each of ten thousand nodes: they are rows, so that a further one costs the same as the
first, and so that the job is read without them.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Select, bindparam, delete, func, insert, select
from sqlmodel import Session, col

from clusterm import schemas
from clusterm.store import tables

_failure = tables.JobFailure
_columns = [col(getattr(_failure, name)) for name in schemas.Failure.model_fields]


def add(session: Session, job_id: int, failures: Sequence[schemas.Failure]) -> None:
    """Store failures after the failures that the job has."""
    if failures:
        last = session.scalar(select(func.max(col(_failure.number))).where(col(_failure.job_id) == job_id)) or 0
        rows = [
            {"job_id": job_id, "number": number, **failure.model_dump()}
            for number, failure in enumerate(failures, start=last + 1)
        ]
        session.connection().execute(insert(_failure), rows)


def remove(session: Session, job_id: int, step: str, nodes: Collection[str]) -> None:
    """Remove the failures of nodes in a step."""
    if nodes and (failed := failed_nodes(session, job_id, step).intersection(nodes)):
        session.connection().execute(
            delete(_failure).where(
                col(_failure.job_id) == bindparam("of_job"),
                col(_failure.step) == bindparam("in_step"),
                col(_failure.node) == bindparam("of_node"),
            ),
            [{"of_job": job_id, "in_step": step, "of_node": node} for node in failed],
        )


def failed_nodes(session: Session, job_id: int, step: str | None = None) -> set[str]:
    """Return the nodes that failed, in one step or in any."""
    query = select(col(_failure.node)).where(col(_failure.job_id) == job_id).distinct()
    return set(session.scalars(query if step is None else query.where(col(_failure.step) == step)))


def of_job(session: Session, job_id: int, step: str | None = None) -> list[schemas.Failure]:
    """Return the failures of a job, or of one of its steps, in the order in which they occurred."""
    query = _of_job(job_id)
    return _read(session, query if step is None else query.where(col(_failure.step) == step))


def first(session: Session, job_id: int) -> schemas.Failure | None:
    """Return the first failure of a job; None if there is none."""
    return next(iter(_read(session, _of_job(job_id).limit(1))), None)


def _of_job(job_id: int) -> Select[Any]:
    return select(*_columns).where(col(_failure.job_id) == job_id).order_by(col(_failure.number))


def _read(session: Session, query: Select[Any]) -> list[schemas.Failure]:
    return [schemas.Failure.model_construct(**row) for row in session.connection().execute(query).mappings()]


def lines(session: Session, job_id: int, *, limit: int) -> list[int]:
    """Return the numbers of the log lines that report failures of a job, in order, at most the first ones."""
    number = col(_failure.line)
    query = select(number).where(col(_failure.job_id) == job_id, number.is_not(None)).distinct().order_by(number)
    return list(session.scalars(query.limit(limit)))
