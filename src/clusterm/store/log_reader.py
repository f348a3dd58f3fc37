"""Reads log lines, in short transactions that read only the necessary part of the log."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Integer, func, select, type_coerce
from sqlmodel import Session, col

from clusterm.store import jobs as job_queries
from clusterm.store import tables
from clusterm.store.engine import Store
from clusterm.store.log_lines import Row
from clusterm.store.log_query import MAX_SCANNED_LINES, LogQuery, conditions, last_known_line, spans

_MAX_LINES: Final = 2000
"""Lines that one read returns."""

_MAX_BYTES: Final = 128 * 1024
"""Bytes after which one read returns. For each slow follower, the service keeps up to two such parts in memory."""

_SAMPLES: Final = 64
"""Lines that one step of the search for a time reads."""


class Part(NamedTuple):
    """The next ones of the requested lines."""

    rows: list[Row]
    next: int
    """Number of the line from which to continue."""
    exhausted: bool
    """There are no further lines at the moment."""


class Digest(NamedTuple):
    """Size and checksum of a log, with which a reader can verify a copy."""

    bytes: int
    sha256: str


NOTHING: Final = Digest(0, hashlib.sha256().hexdigest())
"""The digest of an empty log."""


def read(session: Session, job: tables.Job, query: LogQuery, start: int, *, as_text: bool = False) -> Part:
    """Return the next lines that meet the conditions, up to the limits of one read.

    Args:
        session: a reading transaction.
        job: the job, read in this transaction.
        query: the conditions.
        start: number of the first line to examine.
        as_text: whether only the texts are needed.
    """
    last = last_known_line(session, job, query)
    rows: list[Row] = []
    size = looked_at = 0
    for begin, end in spans(session, job, query, start, last):
        first = begin
        while first <= end:
            first = _first_stored(session, job.id, first, end)
            until = min(end, first + MAX_SCANNED_LINES - looked_at - 1)
            for row in _rows(session, job.id, first, until, query, _MAX_LINES - len(rows), as_text=as_text):
                rows.append(row)
                size += len(row.text)
                if len(rows) == _MAX_LINES or size >= _MAX_BYTES:
                    return Part(rows, row.seq + 1, exhausted=False)
            looked_at += max(0, until - first + 1)
            first = until + 1
            if looked_at >= MAX_SCANNED_LINES:
                return Part(rows, first, exhausted=first > last)
    return Part(rows, max(start, last + 1), exhausted=True)


def first_since(store: Store, job_id: int, moment: datetime) -> int:
    """Return the number of the first line at or after a time; the number after the last line if there is none.

    The search reads samples, not the whole log. If the clock was set back while the job ran, times do not increase with
    the line numbers. The first sample that is late enough counts then, so the result includes rather too many lines
    than too few.
    """
    with store.read() as session:
        low, high = 0, job_queries.get(session, job_id).lines + 1
        while high - low > _SAMPLES:
            samples = _times(session, job_id, range(low + 1, high, (high - low) // _SAMPLES))
            new = next((index for index, (_, at) in enumerate(samples) if at >= moment), len(samples))
            before = low, high
            low = samples[new - 1][0] if new else low
            high = samples[new][0] if new < len(samples) else high
            if (low, high) == before:  # the lines in between were deleted, except some at the ends
                break
        return _first_between(session, job_id, low, high, moment)


def start_of_tail(store: Store, job_id: int, query: LogQuery, start: int, count: int) -> int:
    """Return the number of the line from which on `count` lines meet the conditions; `start` if fewer lines do."""
    with store.read() as session:
        job = job_queries.get(session, job_id)
        last = last_known_line(session, job, query)
        if count == 0:
            return last + 1
        if query.is_whole:
            first = last - count + 1
            if job.omitted and job.truncated_at is not None and first <= job.truncated_at + job.omitted < last:
                first -= job.omitted - 1  # the line that states their number replaces one of them
            return max(start, first)
        found_spans = list(spans(session, job, query, start, last))
    for begin, end in reversed(found_spans):
        for first in range(max(begin, end - MAX_SCANNED_LINES + 1), begin - MAX_SCANNED_LINES, -MAX_SCANNED_LINES):
            with store.read() as session:
                found = _numbers(session, job_id, max(begin, first), min(end, first + MAX_SCANNED_LINES - 1), query)
            if len(found) >= count:
                return found[-count]
            count -= len(found)
    return start


def matches(store: Store, job_id: int, query: LogQuery, after: int, limit: int) -> tuple[list[int], bool]:
    """Return the numbers of the lines after a line that meet the conditions, up to a limit, and whether more do."""
    with store.read() as session:
        job = job_queries.get(session, job_id)
        last = last_known_line(session, job, query)
        found_spans = list(spans(session, job, query, after + 1, last))
    found: list[int] = []
    for begin, end in found_spans:
        for first in range(begin, end + 1, MAX_SCANNED_LINES):
            with store.read() as session:
                found += _numbers(session, job_id, first, min(end, first + MAX_SCANNED_LINES - 1), query)
            if len(found) > limit:
                return found[:limit], True
    return found, False


def digest(store: Store, job_id: int) -> Digest:
    """Return the digest of a complete log, as it is served as text."""
    size, sha256 = 0, hashlib.sha256()
    start, before, exhausted = 1, None, False
    while not exhausted:
        with store.read() as session:
            rows, start, exhausted = read(session, job_queries.get(session, job_id), LogQuery(), start, as_text=True)
        data = text_of(rows, before)
        before = rows[-1] if rows else before
        sha256.update(data)
        size += len(data)
    if is_cut_off(before, None):
        sha256.update(b"\n")
        size += 1
    return Digest(size, sha256.hexdigest())


def text_of(rows: Sequence[Row], before: Row | None = None) -> bytes:
    """Return lines as text, with the parts of long lines joined.

    Args:
        rows: the lines.
        before: the line before them in the same output; None at its beginning.
    """
    parts: list[str] = []
    for row in rows:
        if is_cut_off(before, row):
            parts.append("\n")
        parts.append(row.text if row.partial else f"{row.text}\n")
        before = row
    return "".join(parts).encode()


def is_cut_off(row: Row | None, after: Row | None) -> bool:
    """Return whether a row is part of a long line whose next part is missing."""
    return row is not None and row.partial and (after is None or after.seq != row.seq + 1)


def _rows(
    session: Session, job_id: int, first: int, last: int, query: LogQuery, limit: int, *, as_text: bool
) -> Iterator[Row]:
    line, task = tables.LogLine, tables.JobTask
    statement = (
        # SQLite stores booleans as integers; converting the value of every line would take time.
        select(col(line.seq), col(line.text), type_coerce(col(line.partial), Integer))
        .where(col(line.job_id) == job_id, col(line.seq).between(first, last), *conditions(job_id, query))
        .order_by(col(line.seq))
        .limit(limit)
    )
    if not as_text:
        of_line = (col(task.job_id) == col(line.job_id)) & (col(task.number) == col(line.task))
        columns = (col(line.at), col(task.play), col(task.name), col(line.node))
        statement = statement.add_columns(*columns).outerjoin(task, of_line)
    # In small batches: lines may be long, and the caller may stop early.
    found: Iterable[Any] = session.connection().execute(statement, execution_options={"yield_per": 100})
    return (Row(*values) for values in found)


def _numbers(session: Session, job_id: int, first: int, last: int, query: LogQuery) -> Sequence[int]:
    line = tables.LogLine
    statement = select(col(line.seq)).where(col(line.job_id) == job_id, col(line.seq).between(first, last))
    return session.scalars(statement.where(*conditions(job_id, query)).order_by(col(line.seq))).all()


def _first_stored(session: Session, job_id: int, first: int, last: int) -> int:
    """Return the number of the first stored line of a span; the number after the span if there is none."""
    line = tables.LogLine
    query = select(func.min(col(line.seq))).where(col(line.job_id) == job_id, col(line.seq).between(first, last))
    return session.scalars(query).one() or last + 1


def _times(session: Session, job_id: int, numbers: Sequence[int]) -> Sequence[tuple[int, datetime]]:
    line = tables.LogLine
    query = select(col(line.seq), col(line.at)).where(col(line.job_id) == job_id, col(line.seq).in_(numbers))
    return [(seq, at) for seq, at in session.connection().execute(query.order_by(col(line.seq)))]


def _first_between(session: Session, job_id: int, low: int, high: int, moment: datetime) -> int:
    """Return the number of the first line between two others at or after a time; the higher one if there is none."""
    line = tables.LogLine
    between = col(line.seq).between(low + 1, high - 1)
    query = select(func.min(col(line.seq))).where(col(line.job_id) == job_id, between, col(line.at) >= moment)
    return session.scalars(query).one() or high
