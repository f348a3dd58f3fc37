"""Jobs, their nodes and their steps."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, insert, update
from sqlmodel import Session, col, select

from clusterm import schemas
from clusterm.errors import BadRequest, NotFound, quote
from clusterm.redaction import redact
from clusterm.states import ENDED, Action, JobStatus, Result
from clusterm.store import results as task_results
from clusterm.store import tables


def get(session: Session, job_id: int) -> tables.Job:
    """Return a job.

    Raises:
        NotFound: there is none with that id.
    """
    job = session.get(tables.Job, job_id)
    if job is None:
        raise NotFound(f"job {job_id} doesn't exist")
    return job


def labelled(session: Session, label: str) -> tables.Job:
    """Return the job that a label means: `active`, `last` or an id.

    Raises:
        BadRequest: it is no label.
        NotFound: there is no such job.
    """
    if label.isascii() and label.isdigit() and len(label) <= 18:
        return get(session, int(label))
    if label == "active":
        job = active(session)
    elif label == "last":
        job = last(session)
    else:
        raise BadRequest(f"Invalid or empty job label specified: {quote(label)}. It is active, last or a job's id")
    if job is None:
        raise NotFound(f'info for "{label}" job doesn\'t exist')
    return job


def running(session: Session) -> Sequence[tables.Job]:
    """Return the running jobs, the one that started first in front."""
    return session.exec(
        select(tables.Job)
        .where(tables.Job.status == JobStatus.RUNNING)
        .order_by(col(tables.Job.started_clock), col(tables.Job.id))
    ).all()


def queued(session: Session) -> Sequence[tables.Job]:
    """Return the jobs that wait for their turn, the oldest in front."""
    return session.exec(
        select(tables.Job).where(tables.Job.status == JobStatus.QUEUED).order_by(col(tables.Job.id))
    ).all()


def count_unended(session: Session) -> dict[JobStatus, int]:
    """Return how many jobs there are of each status that is not an end."""
    query = select(tables.Job.status, func.count()).where(col(tables.Job.status).not_in(ENDED))
    return {JobStatus(status): number for status, number in session.exec(query.group_by(tables.Job.status))}


def active(session: Session) -> tables.Job | None:
    """Return the running job that started first, if one runs."""
    return next(iter(running(session)), None)


def last(session: Session, status: JobStatus | None = None) -> tables.Job | None:
    """Return the job that ended last, or that did so with a status; None if there is none."""
    ended = select(tables.Job).where(col(tables.Job.end_order).is_not(None))
    if status is not None:
        ended = ended.where(tables.Job.status == status)
    return session.exec(ended.order_by(col(tables.Job.end_order).desc()).limit(1)).first()


def history(
    session: Session,
    *,
    limit: int,
    before: int | None = None,
    status: JobStatus | None = None,
    action: Action | None = None,
    node: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Sequence[tables.Job]:
    """Return jobs, newest first.

    Args:
        session: any transaction.
        limit: the most to return.
        before: only those with a smaller id.
        status: only those with this status.
        action: only those with this action.
        node: only those on this node or address.
        since: only those created at or after this time.
        until: only those created before this time.
    """
    query = select(tables.Job).order_by(col(tables.Job.id).desc()).limit(limit)
    if before is not None:
        query = query.where(col(tables.Job.id) < before)
    if status is not None:
        query = query.where(tables.Job.status == status)
    if action is not None:
        query = query.where(tables.Job.action == action)
    if node is not None:
        query = query.where(col(tables.Job.id).in_(select(tables.JobNode.job_id).where(tables.JobNode.node == node)))
    if since is not None:
        query = query.where(tables.Job.created_at >= since)
    if until is not None:
        query = query.where(tables.Job.created_at < until)
    return session.exec(query).all()


def node_names(session: Session, job_id: int) -> list[str]:
    """Return the nodes, or addresses, of a job, in the order of the request."""
    query = select(tables.JobNode.node).where(tables.JobNode.job_id == job_id)
    return list(session.exec(query.order_by(col(tables.JobNode.position))))


def add_nodes(session: Session, job_id: int, names: Sequence[str]) -> None:
    """Give a new job its nodes, or addresses, in their order."""
    session.execute(
        insert(tables.JobNode),
        [
            {"job_id": job_id, "position": position, "node": name, "held": False}
            for position, name in enumerate(names, start=1)
        ],
    )


def node_results(session: Session, job_id: int) -> dict[str, Result | None]:
    """Return the nodes, or addresses, of a job, in the order of the request, and how each did by itself."""
    query = select(tables.JobNode).where(tables.JobNode.job_id == job_id)
    return {row.node: row.result for row in session.exec(query.order_by(col(tables.JobNode.position)))}


def note_results(session: Session, job_id: int, passed: Collection[str], reached: Collection[str]) -> None:
    """Note which nodes passed by themselves, in a job that ends; the others that it has reached did not."""
    for node in session.exec(select(tables.JobNode).where(tables.JobNode.job_id == job_id)):
        if node.node in reached:
            node.result = Result.PASS if node.node in passed else Result.FAIL


def note_former_host_groups(session: Session, job_id: int, former: Mapping[str, str]) -> None:
    """Note the host groups that nodes of a job had before it."""
    for node in session.exec(select(tables.JobNode).where(tables.JobNode.job_id == job_id)):
        node.former_host_group = former.get(node.node)


def former_host_groups(session: Session, job_id: int) -> dict[str, str]:
    """Return the host groups that nodes of a job had before it, as far as they were noted."""
    query = select(tables.JobNode).where(
        tables.JobNode.job_id == job_id, col(tables.JobNode.former_host_group).is_not(None)
    )
    return {row.node: row.former_host_group or "" for row in session.exec(query)}


def steps(session: Session, job_id: int) -> Sequence[tables.JobStep]:
    """Return the steps of a job that have begun, in order."""
    query = select(tables.JobStep).where(tables.JobStep.job_id == job_id)
    return session.exec(query.order_by(col(tables.JobStep.number))).all()


def step(session: Session, job_id: int, number: int) -> tables.JobStep:
    """Return a step that has begun."""
    return session.get_one(tables.JobStep, (job_id, number))


def next_end_order(session: Session) -> int:
    """Return the place in the order of ends of a job that ends now; needs a writing transaction."""
    return (session.exec(select(func.max(tables.Job.end_order))).one() or 0) + 1


def hold_nodes(session: Session, job_id: int) -> None:
    """Keep other jobs from the nodes of a job.

    Raises:
        sqlalchemy.exc.IntegrityError: another job holds one of them.
    """
    session.execute(update(tables.JobNode).where(col(tables.JobNode.job_id) == job_id).values(held=True))


def release_nodes(session: Session, job_id: int) -> None:
    """Let other jobs have the nodes of a job."""
    session.execute(update(tables.JobNode).where(col(tables.JobNode.job_id) == job_id).values(held=False))


def held_nodes(session: Session) -> set[str]:
    """Return the nodes, and addresses, that running jobs hold."""
    return set(session.exec(select(tables.JobNode.node).where(col(tables.JobNode.held))))


def has_ended(job: tables.Job) -> bool:
    """Tell whether a job will not change any more."""
    return job.status in ENDED


def describe(job: tables.Job, names: Sequence[str]) -> str:
    """Say what a job does, in a few words."""
    shown = " ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    group = f" as {job.host_group}" if job.host_group else ""
    return f"{job.action} {shown}{group}{' (check)' if job.check else ''}"


def refer(session: Session, job: tables.Job) -> str:
    """Say which job is meant."""
    return f"{describe(job, node_names(session, job.id))} (id {job.id})"


def log_end(job: tables.Job) -> schemas.LogEnd:
    """Say how a job and its log stand, to those who have all of its lines that they wanted."""
    return schemas.LogEnd(
        job=job.id,
        status=job.status,
        lines=job.lines,
        log_incomplete=job.incomplete,
        log_bytes=None if job.sha256 is None else job.bytes,
        log_sha256=job.sha256,
    )


def summary(session: Session, job: tables.Job) -> schemas.JobSummary:
    """Say what matters of a job, in short."""
    return schemas.JobSummary.model_construct(
        id=job.id,
        desc=describe(job, node_names(session, job.id)),
        status=job.status,
        error=job.error,
        requested_by=job.requested_by,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


def to_wire(session: Session, job: tables.Job) -> schemas.Job:
    """Turn a job into what goes over the wire, without its log."""
    results = node_results(session, job.id)
    names = list(results)
    begun = steps(session, job.id)
    return schemas.Job.model_construct(
        id=job.id,
        action=job.action,
        desc=describe(job, names),
        task=begun[-1].name if begun else "",
        status=job.status,
        error=job.error,
        nodes=names,
        host_group=job.host_group,
        extra_vars=redact(job.extra_vars),
        check=job.check,
        limit_batch=job.limit_batch,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        requested_by=job.requested_by,
        retry_of=job.retry_of,
        cancel_requested_at=job.stop_requested_at if job.stop_requested_by else None,
        cancel_requested_by=job.stop_requested_by,
        lines=job.lines,
        log_incomplete=job.incomplete,
        log_bytes=None if job.sha256 is None else job.bytes,
        log_sha256=job.sha256,
        steps=[
            schemas.Step.model_construct(
                name=step.name,
                playbook=step.playbook,
                batch=step.batch,
                started_at=step.started_at,
                finished_at=step.finished_at,
                exit_status=step.exit_status,
                error=step.error,
                first_line=step.first_line,
            )
            for step in begun
        ],
        partial_success=job.partial_success,
        results={node: result for node, result in results.items() if result},
        recap={
            node: schemas.Recap.model_validate(job.recap[node])
            for node in dict.fromkeys([*names, *job.recap])  # ansible's order is that of the first results
            if node in job.recap
        },
        current=task_results.current(session, begun[-1]) if begun and begun[-1].finished_at is None else None,
        failures=[schemas.Failure.model_validate(failure) for failure in job.failures],
    )
