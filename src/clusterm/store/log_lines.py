"""Log lines.

A job on ten nodes has about 15,000 lines. They are written and read as plain rows, because objects would be too slow.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlmodel import Session, col

from clusterm.common.ansible_output import MAX_ERROR, FinalError, final_error
from clusterm.store import tables
from clusterm.store.sql_functions import byte_length

_MAX_ERROR_LINES: Final = 500  # lines at the end of a step's output in which the error of ansible is searched


class Row(NamedTuple):
    """A log line; unless only text was requested, with its time and the play, task and node that wrote it."""

    seq: int
    text: str
    partial: bool
    at: datetime | None = None
    play: str | None = None
    task: str | None = None
    node: str | None = None


def append(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert log lines, each a mapping of the columns of `tables.LogLine`."""
    if rows:
        session.connection().execute(insert(tables.LogLine), rows)


def attribute(session: Session, job_id: int, first: int, last: int, *, task: int | None, node: str | None) -> None:
    """Store which task and node wrote the lines from `first` to `last`."""
    session.connection().execute(
        update(tables.LogLine)
        .where(
            col(tables.LogLine.job_id) == bindparam("job"),
            col(tables.LogLine.seq).between(bindparam("first"), bindparam("last")),
        )
        .values(task=bindparam("new_task"), node=bindparam("new_node")),
        {"job": job_id, "first": first, "last": last, "new_task": task, "new_node": node},
    )


def count(session: Session, job: tables.Job, rows: Sequence[dict[str, Any]], limit: int) -> None:
    """Count appended lines in their job, and leave out lines of its log if it has become larger than a limit.

    Args:
        session: a writing transaction.
        job: the job.
        rows: the lines, which were appended and, as far as is known, attributed.
        limit: maximum size of the log in bytes.
    """
    if rows:
        job.lines = rows[-1]["seq"]
        job.bytes += sum(len(row["text"].encode()) + 1 for row in rows)
    if job.bytes > limit:
        leave_out(session, job, limit)


def leave_out(session: Session, job: tables.Job, limit: int) -> None:
    """Delete lines from the middle of the log of a job until it is not larger than a limit.

    A line that states the number of deleted lines replaces the first one of them.

    Args:
        session: a writing transaction.
        job: the job.
        limit: maximum size of the log in bytes.
    """
    line = tables.LogLine
    size = byte_length(col(line.text)) + 1
    of_job = select(col(line.seq), size).where(col(line.job_id) == job.id).order_by(col(line.seq))
    if job.truncated_at is None:
        head = 0
        for seq, length in session.connection().execute(of_job):
            head += length
            job.truncated_at = seq
            if head >= limit // 2:
                break
    assert job.truncated_at is not None  # noqa: S101 -- a log that is too large has lines
    excess = job.bytes - limit + limit // 8  # more than necessary, so that not every batch deletes lines
    last = job.truncated_at
    for seq, length in session.connection().execute(of_job.where(col(line.seq) > job.truncated_at)):
        if excess <= 0 or seq == job.lines:
            break
        excess -= length
        job.bytes -= length
        last = seq
    if last == job.truncated_at:
        return
    between = (col(line.job_id) == job.id) & col(line.seq).between(job.truncated_at + 1, last)
    at = session.scalars(select(col(line.at)).where(between).order_by(col(line.seq)).limit(1)).first()
    session.execute(delete(line).where(between))
    session.execute(
        update(line).where(col(line.job_id) == job.id, col(line.seq) == job.truncated_at).values(partial=False)
    )
    job.omitted = last - job.truncated_at
    job.incomplete = True
    text = f"[clusterm: {job.omitted} lines are left out here: the log is larger than retention.job_log_bytes]"
    job.bytes += len(text) + 1
    marker = {"job_id": job.id, "seq": job.truncated_at + 1, "at": at, "text": text, "partial": False}
    append(session, [marker | {"task": None, "node": None}])


def head(session: Session, job_id: int, first: int, *, limit: int) -> list[tuple[int, str]]:
    """Return the numbers and texts of at most `limit` lines of a job's log, from line `first` on."""
    line = tables.LogLine
    oldest = (
        select(col(line.seq), col(line.text))
        .where(col(line.job_id) == job_id, col(line.seq) >= first)
        .order_by(col(line.seq))
        .limit(limit)
    )
    return [(seq, text) for seq, text in session.execute(oldest)]


def ansible_error(session: Session, job: tables.Job, step: tables.JobStep) -> FinalError | None:
    """Find the error with which ansible itself ended a step, after the last record of its callback plugin.

    Args:
        session: a transaction.
        job: the job.
        step: the step; its output is stored completely.

    Returns:
        The error with the numbers of its first and last line; None if there is none.
    """
    if step.first_unattributed_line is None:
        return None
    line = tables.LogLine
    newest = (
        select(col(line.seq), func.substr(col(line.text), 1, MAX_ERROR))
        .where(col(line.job_id) == job.id, col(line.seq) >= step.first_unattributed_line)
        .order_by(col(line.seq).desc())
        .limit(_MAX_ERROR_LINES)
    )
    following = select(func.min(col(tables.JobStep.first_line))).where(
        col(tables.JobStep.job_id) == job.id, col(tables.JobStep.number) > step.number
    )
    if (next_step := session.scalar(following)) is not None:
        newest = newest.where(col(line.seq) < next_step)
    rows = list(session.execute(newest))[::-1]
    error = final_error(text for _, text in rows)
    return error and error._replace(first=rows[error.first][0], last=rows[error.last][0])


def last(session: Session, job_id: int) -> tables.LogLine | None:
    """Return the last log line of a job, None if there is none."""
    line = tables.LogLine
    return session.scalars(
        select(line).where(col(line.job_id) == job_id).order_by(col(line.seq).desc()).limit(1)
    ).first()
