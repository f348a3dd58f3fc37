"""Queries over the lines of a log: conditions and the spans in which matching lines lie."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, or_, select
from sqlmodel import Session, col

from clusterm.enums import FAILED_TASKS
from clusterm.store import jobs as job_queries
from clusterm.store import sqlite, tables

CONTEXT: Final = 3
"""Lines that are shown before and after those of a failed result."""


MAX_SCANNED_LINES: Final = 20_000  # lines looked at by one read

Span = tuple[int, int]
"""Numbers of a first and a last line."""


@dataclass(frozen=True)
class LogQuery:
    """Lines of a log: those that meet every condition."""

    last: int | None = None
    """Number of the last line; None for as far as the log goes."""
    nodes: tuple[str, ...] = ()
    """One of these wrote them."""
    task: str | None = None
    """The name of the task that wrote them contains this, in upper or lower case."""
    failed: bool = False
    """They belong to a failed result, or are close to one."""
    grep: str | None = None
    """They contain this text."""
    ignore_case: bool = False
    """Upper and lower case of that text are the same."""
    follow: bool = False
    """More lines may come, and none is passed by while nobody knows yet what wrote it."""

    @property
    def by_origin(self) -> bool:
        """Whether what wrote a line decides."""
        return bool(self.nodes or self.task is not None or self.failed)

    @property
    def is_whole(self) -> bool:
        """Whether lines are chosen by nothing but their numbers."""
        return not self.by_origin and self.grep is None


def last_known_line(session: Session, job: tables.Job, query: LogQuery) -> int:
    """Return the number of the last line of which it is known whether it is wanted."""
    last = job.lines if query.last is None else min(job.lines, query.last)
    if query.follow and query.by_origin and not job_queries.has_ended(job):
        step = col(tables.JobStep.number)
        newest = select(col(tables.JobStep.first_unattributed_line)).where(col(tables.JobStep.job_id) == job.id)
        first_unattributed_line = session.scalars(newest.order_by(step.desc()).limit(1)).first()
        if first_unattributed_line is not None:
            last = min(last, first_unattributed_line - 1 - (CONTEXT if query.failed else 0))
    return last


def spans(session: Session, job: tables.Job, query: LogQuery, start: int, last: int) -> Iterator[Span]:
    """Yield where lines of a selection may be."""
    if not query.failed:
        yield (start, last)
        return
    for begin, end in _with_context(_failed(session, job)):
        if end >= start and begin <= last:
            yield (max(begin, start), min(end, last))


def _failed(session: Session, job: tables.Job) -> Iterator[Span]:
    """Yield where the lines of failed results are; by what the job says of its failures if results are not kept."""
    result = tables.TaskResult
    of_job = col(result.job_id) == job.id
    if session.scalars(select(col(result.number)).where(of_job).limit(1)).first() is None:
        for failure in job.failures:
            if (line := failure["line"]) is not None:
                yield line, _end_of_result(session, job.id, line)
        return
    rows = select(col(result.first_line), col(result.last_line)).where(of_job, col(result.status).in_(FAILED_TASKS))
    for first, end in session.connection().execute(rows):
        if first is not None:
            yield first, end or first


def _end_of_result(session: Session, job_id: int, first: int) -> int:
    """Return the number of the last of the lines from `first` on that one node wrote in one task."""
    line = tables.LogLine
    origin = session.get(line, (job_id, first))
    if origin is None:  # it was left out
        return first
    others = (
        select(col(line.seq))
        .where(col(line.job_id) == job_id, col(line.seq) > first)
        .where(or_(col(line.node).is_distinct_from(origin.node), col(line.task).is_distinct_from(origin.task)))
    )
    after = session.scalars(others.order_by(col(line.seq)).limit(1)).first()
    return first if after is None else after - 1


def _with_context(spans: Iterable[Span]) -> Sequence[Span]:
    """Return spans in order, each with the lines around it, those that touch as one."""
    found: list[Span] = []
    for first, last in sorted(spans):
        begin, end = max(1, first - CONTEXT), last + CONTEXT
        if found and begin <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def conditions(job_id: int, query: LogQuery) -> list[ColumnElement[bool]]:
    """Say in SQL which of the lines in a span are wanted."""
    line, task = tables.LogLine, tables.JobTask
    found: list[ColumnElement[bool]] = []
    if query.nodes:
        found.append(col(line.node).in_(query.nodes))
    if query.task is not None:
        named = sqlite.contains(col(task.name), query.task, ignore_case=True)
        numbers = select(col(task.number)).where(col(task.job_id) == job_id, named).correlate(None)
        found.append(col(line.task).in_(numbers))
    if query.grep is not None:
        found.append(sqlite.contains(col(line.text), query.grep, ignore_case=query.ignore_case))
    return found
