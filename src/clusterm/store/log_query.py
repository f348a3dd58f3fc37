"""Queries of log lines: their conditions, and the spans of lines in which matches can be."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, or_, select
from sqlmodel import Session, col

from clusterm.enums import FAILED_TASKS
from clusterm.store import failures, log_lines, tables
from clusterm.store import jobs as job_queries
from clusterm.store.sql_functions import contains

CONTEXT: Final = 3
"""Lines that are shown before and after the lines of a failed result."""


MAX_SCANNED_LINES: Final = 20_000
"""Lines that one read examines."""

Span = tuple[int, int]
"""Numbers of the first and the last line."""


@dataclass(frozen=True)
class LogQuery:
    """The conditions that the requested lines of a log meet, all of them."""

    last: int | None = None
    """Number of the last line; None for the end of the log."""
    nodes: tuple[str, ...] = ()
    """One of these nodes wrote the line; empty for any."""
    task: str | None = None
    """The name of the task that wrote the line contains this text, in upper or lower case."""
    failed: bool = False
    """The line belongs to a failed result or to an error of ansible itself, or is within `CONTEXT` lines of one."""
    grep: str | None = None
    """The line contains this text."""
    ignore_case: bool = False
    """`grep` ignores the case."""
    follow: bool = False
    """The client follows the log: lines of unknown origin are withheld until their origin is known."""

    @property
    def by_origin(self) -> bool:
        """Whether a condition depends on the origin of a line, the task and node that wrote it."""
        return bool(self.nodes or self.task is not None or self.failed)

    @property
    def is_whole(self) -> bool:
        """Whether the conditions depend only on the numbers of lines."""
        return not self.by_origin and self.grep is None


def last_known_line(session: Session, job: tables.Job, query: LogQuery) -> int:
    """Return the number of the last line for which the conditions can be decided now."""
    last = job.lines if query.last is None else min(job.lines, query.last)
    if query.follow and query.by_origin and not job_queries.has_ended(job):
        step = col(tables.JobStep.number)
        newest = select(col(tables.JobStep.first_unattributed_line)).where(col(tables.JobStep.job_id) == job.id)
        first_unattributed_line = session.scalars(newest.order_by(step.desc()).limit(1)).first()
        if first_unattributed_line is not None:
            last = min(last, first_unattributed_line - 1 - (CONTEXT if query.failed else 0))
    return last


def spans(session: Session, job: tables.Job, query: LogQuery, start: int, last: int) -> Iterator[Span]:
    """Yield the spans between two lines in which lines can meet the conditions."""
    if not query.failed:
        yield (start, last)
        return
    for begin, end in _with_context(_failed(session, job)):
        if end >= start and begin <= last:
            yield (max(begin, start), min(end, last))


def _failed(session: Session, job: tables.Job) -> Iterator[Span]:
    """Yield the spans of failed results, and of the errors with which ansible itself ended steps.

    A job without stored results has only the lines of its failures.
    """
    for step in job_queries.steps(session, job.id):
        error = log_lines.ansible_error(session, job, step) if step.error else None
        if error and step.error and error.message in step.error:
            yield error.first, error.last
    result = tables.TaskResult
    of_job = col(result.job_id) == job.id
    if session.scalars(select(col(result.number)).where(of_job).limit(1)).first() is None:
        for failure in failures.of_job(session, job.id):
            if failure.line is not None:
                yield failure.line, _end_of_result(session, job.id, failure.line)
        return
    rows = select(col(result.first_line), col(result.last_line)).where(of_job, col(result.status).in_(FAILED_TASKS))
    for first, end in session.connection().execute(rows):
        if first is not None:
            yield first, end or first


def _end_of_result(session: Session, job_id: int, first: int) -> int:
    """Return the number of the last line, from `first` on, that the same node wrote in the same task."""
    line = tables.LogLine
    origin = session.get(line, (job_id, first))
    if origin is None:  # the line was deleted because the log is too large
        return first
    others = (
        select(col(line.seq))
        .where(col(line.job_id) == job_id, col(line.seq) > first)
        .where(or_(col(line.node).is_distinct_from(origin.node), col(line.task).is_distinct_from(origin.task)))
    )
    after = session.scalars(others.order_by(col(line.seq)).limit(1)).first()
    return first if after is None else after - 1


def _with_context(spans: Iterable[Span]) -> Sequence[Span]:
    """Return spans in order, extended by `CONTEXT` lines, and merged where they touch."""
    found: list[Span] = []
    for first, last in sorted(spans):
        begin, end = max(1, first - CONTEXT), last + CONTEXT
        if found and begin <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def conditions(job_id: int, query: LogQuery) -> list[ColumnElement[bool]]:
    """Return the conditions in SQL, to be applied to the lines of a span."""
    line, task = tables.LogLine, tables.JobTask
    found: list[ColumnElement[bool]] = []
    if query.nodes:
        found.append(col(line.node).in_(query.nodes))
    if query.task is not None:
        named = contains(col(task.name), query.task, ignore_case=True)
        numbers = select(col(task.number)).where(col(task.job_id) == job_id, named).correlate(None)
        found.append(col(line.task).in_(numbers))
    if query.grep is not None:
        found.append(contains(col(line.text), query.grep, ignore_case=query.ignore_case))
    return found
