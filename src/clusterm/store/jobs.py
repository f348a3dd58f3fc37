"""Jobs, their nodes and their steps."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypedDict, Unpack

from sqlalchemy import func, insert, update
from sqlmodel import Session, col, select

from clusterm.enums import ENDED, JobStatus
from clusterm.errors import BadRequest, NotFound, quote
from clusterm.problem_codes import ProblemCode
from clusterm.secrets.encryption import EncryptedVars, VariableCipher
from clusterm.store import runtime_values, tables

MAX_WARNINGS: Final = 20


def get(session: Session, job_id: int) -> tables.Job:
    """Return the job with an id.

    Raises:
        NotFound: there is no job with the id.
    """
    job = find(session, job_id)
    if job is None:
        raise NotFound(f"there is no job {job_id}", ProblemCode.JOB_NOT_FOUND, job=str(job_id))
    return job


def find(session: Session, job_id: int) -> tables.Job | None:
    """Return the job with an id, None if it does not exist or was deleted."""
    return session.get(tables.Job, job_id)


def warn(job: tables.Job, warning: str) -> None:
    """Add a warning to a job, unless it has this one or as many as are useful."""
    if warning not in job.warnings and len(job.warnings) < MAX_WARNINGS:
        job.warnings = [*job.warnings, warning]


def resolve(session: Session, label: str, *, before: tables.Job | None = None) -> tables.Job:
    """Return the job that a label refers to: `active`, `last`, `good` or an id.

    Args:
        session: any transaction.
        label: the label.
        before: the job before which `good` ended, with the same action; without one, `last` may be that job itself.

    Raises:
        BadRequest: the label is none of these.
        NotFound: there is no such job.
    """
    newest: tables.Job | None = None
    if label.isascii() and label.isdigit() and len(label) <= 18:
        return get(session, int(label))
    if label == "active":
        job = active(session)
    elif label == "last":
        job = last(session)
    elif label == "good":
        newest = before or last(session)
        job = newest and last_good(session, newest, itself=before is None)
    else:
        raise BadRequest(
            f"{quote(label)} is no job: give active, last, good or the id of a job",
            ProblemCode.INVALID_JOB,
            job=quote(label),
        )
    if job is None:
        reason = "no job is running" if label == "active" else "no job has ended yet"
        if label == "good" and newest:
            same = f"{newest.action}{' (check)' if newest.check else ''}"
            reason = f"no {same} ended Complete{f' before job {before.id}' if before else ''}"
        raise NotFound(reason, ProblemCode.JOB_NOT_FOUND, job=label)
    return job


def running(session: Session) -> Sequence[tables.Job]:
    """Return the running jobs, in the order of their start."""
    return session.exec(
        select(tables.Job)
        .where(tables.Job.status == JobStatus.RUNNING)
        .order_by(col(tables.Job.started_clock).nulls_first(), col(tables.Job.id))
    ).all()


def queued(session: Session) -> Sequence[tables.Job]:
    """Return the queued jobs, the oldest first."""
    return session.exec(
        select(tables.Job).where(tables.Job.status == JobStatus.QUEUED).order_by(col(tables.Job.id))
    ).all()


def first_queued(session: Session) -> tables.Job | None:
    """Return the job that was queued first, None if the queue is empty."""
    query = select(tables.Job).where(tables.Job.status == JobStatus.QUEUED).order_by(col(tables.Job.id))
    return session.exec(query.limit(1)).first()


def unended_nodes(session: Session) -> dict[int, list[str]]:
    """Return the nodes or addresses of the running and queued jobs, by job, in the order of the request."""
    node, job = tables.JobNode, tables.Job
    query = (
        select(node.job_id, node.node)
        .join(job, col(job.id) == col(node.job_id))
        .where(col(job.status).not_in(ENDED))
        .order_by(col(node.job_id), col(node.position))
    )
    found: dict[int, list[str]] = {}
    for job_id, name in session.exec(query):
        found.setdefault(job_id, []).append(name)
    return found


def count_unended(session: Session) -> dict[JobStatus, int]:
    """Return the number of jobs that have not ended, by status."""
    query = select(tables.Job.status, func.count()).where(col(tables.Job.status).not_in(ENDED))
    return {JobStatus(status): number for status, number in session.exec(query.group_by(tables.Job.status))}


def unended_on(session: Session, node: str) -> tables.Job | None:
    """Return a queued or running job on a node or address, None if there is none."""
    on_node = select(tables.JobNode.job_id).where(tables.JobNode.node == node)
    query = select(tables.Job).where(col(tables.Job.id).in_(on_node), col(tables.Job.status).not_in(ENDED))
    return session.exec(query.limit(1)).first()


def active(session: Session) -> tables.Job | None:
    """Return the running job that started first, None if no job is running."""
    return next(iter(running(session)), None)


def last(session: Session, status: JobStatus | None = None) -> tables.Job | None:
    """Return the job that ended last, or that was the last to end with a status; None if there is none."""
    ended = select(tables.Job).where(col(tables.Job.end_order).is_not(None))
    if status is not None:
        ended = ended.where(tables.Job.status == status)
    return session.exec(ended.order_by(col(tables.Job.end_order).desc()).limit(1)).first()


def last_good(session: Session, job: tables.Job, *, itself: bool = False) -> tables.Job | None:
    """Return the last job with the action of a job that ended Complete before it; None if there is none.

    Checks are compared with checks, and other jobs with other jobs.

    Args:
        session: any transaction.
        job: the job; if it has not ended, every job that has ended did so before it.
        itself: whether the job itself is considered, too.
    """
    other = tables.Job
    query = select(other).where(
        other.action == job.action, other.status == JobStatus.COMPLETE, col(other.check).is_(job.check)
    )
    if job.end_order is not None:
        query = query.where(col(other.end_order) < job.end_order + int(itself))
    return session.exec(query.order_by(col(other.end_order).desc()).limit(1)).first()


class JobFilter(TypedDict, total=False):
    """Which jobs are meant; None for any."""

    status: JobStatus | None
    action: str | None
    nodes: Collection[str] | None
    """Jobs on one of these nodes or addresses."""
    since: datetime | None
    """Created at or after this time."""
    until: datetime | None
    """Created before this time."""


def history(
    session: Session, *, limit: int, before: int | None = None, **wanted: Unpack[JobFilter]
) -> Sequence[tables.Job]:
    """Return at most `limit` jobs, newest first; with `before` only those with a smaller id."""
    query = select(tables.Job).where(*_conditions(wanted)).order_by(col(tables.Job.id).desc()).limit(limit)
    if before is not None:
        query = query.where(col(tables.Job.id) < before)
    return session.exec(query).all()


def count(session: Session, **wanted: Unpack[JobFilter]) -> int:
    """Return the number of jobs."""
    return session.exec(select(func.count()).select_from(tables.Job).where(*_conditions(wanted))).one()


def _conditions(wanted: JobFilter) -> list[Any]:
    job = tables.Job
    found: list[Any] = []
    if (status := wanted.get("status")) is not None:
        found.append(job.status == status)
    if (action := wanted.get("action")) is not None:
        found.append(job.action == action)
    if (nodes := wanted.get("nodes")) is not None:
        on_nodes = select(tables.JobNode.job_id).where(col(tables.JobNode.node).in_(nodes))
        found.append(col(job.id).in_(on_nodes))
    if (since := wanted.get("since")) is not None:
        found.append(job.created_at >= since)
    if (until := wanted.get("until")) is not None:
        found.append(job.created_at < until)
    return found


def node_names(session: Session, job_id: int, *, limit: int | None = None) -> list[str]:
    """Return the nodes or addresses of a job, in the order of the request; all, or the first ones."""
    query = select(tables.JobNode.node).where(tables.JobNode.job_id == job_id)
    return list(session.exec(query.order_by(col(tables.JobNode.position)).limit(limit)))


def count_nodes(session: Session, job_id: int) -> int:
    """Return the number of nodes or addresses of a job."""
    return session.exec(select(func.count()).where(tables.JobNode.job_id == job_id)).one()


def add_nodes(session: Session, job_id: int, names: Sequence[str]) -> None:
    """Store the nodes or addresses of a new job, in their order."""
    session.execute(
        insert(tables.JobNode),
        [
            {"job_id": job_id, "position": position, "node": name, "held": False}
            for position, name in enumerate(names, start=1)
        ],
    )


def record_former_host_groups(session: Session, job_id: int, former: Mapping[str, str]) -> None:
    """Store the host groups that nodes had before a job."""
    for node in session.exec(select(tables.JobNode).where(tables.JobNode.job_id == job_id)):
        node.former_host_group = former.get(node.node)


def steps(session: Session, job_id: int) -> Sequence[tables.JobStep]:
    """Return the steps of a job that have begun, in order."""
    query = select(tables.JobStep).where(tables.JobStep.job_id == job_id)
    return session.exec(query.order_by(col(tables.JobStep.number))).all()


def find_step(session: Session, job_id: int, number: int) -> tables.JobStep | None:
    """Return a step; None if it has not begun."""
    return session.get(tables.JobStep, (job_id, number))


def step(session: Session, job_id: int, number: int) -> tables.JobStep:
    """Return a step that has begun, by its number from 1."""
    return session.get_one(tables.JobStep, (job_id, number))


def next_end_order(session: Session) -> int:
    """Return the `end_order` of a job that ends now. It is correct only in a writing transaction.

    It is greater than that of every exported job, even if all of these were deleted: others would not be exported.
    """
    exported: int = runtime_values.get(session, runtime_values.TELEMETRY).get("order", 0)
    greatest = session.exec(select(func.max(tables.Job.end_order))).one() or 0
    return max(greatest, exported) + 1


def hold_nodes(session: Session, job_id: int) -> None:
    """Reserve the nodes of a job.

    Raises:
        StoreError: another job has reserved one of the nodes.
    """
    session.execute(update(tables.JobNode).where(col(tables.JobNode.job_id) == job_id).values(held=True))


def has_ended(job: tables.Job) -> bool:
    """Return whether a job has ended and does not change any more."""
    return job.status in ENDED


def decrypt_vars(job: tables.Job, cipher: VariableCipher) -> dict[str, Any]:
    """Return the extra vars of a job with their secrets.

    Raises:
        SecretsUnavailable: the extra vars cannot be decrypted.
    """
    return cipher.decrypt(EncryptedVars(job.extra_vars, job.encrypted), f"job {job.id}")
