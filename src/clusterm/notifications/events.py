"""Records in the outbox what webhooks are notified of: ended jobs, and nodes that disappeared or returned."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from clusterm import schemas
from clusterm.enums import EventName, JobStatus, NotificationKind, State
from clusterm.store import failures, job_views, outbox, tables
from clusterm.store import jobs as job_queries
from clusterm.store.session import Session


def record_job_end(session: Session, job: tables.Job) -> None:
    """Record that a job has ended, if a webhook subscribes to it.

    Args:
        session: the transaction that ends the job.
        job: the ended job.
    """
    kind = NotificationKind.JOB_FAILED if job.status is JobStatus.ERRORED else NotificationKind.JOB_ENDED
    assert job.finished_at is not None  # noqa: S101 -- it has ended
    if any(kind in kinds for kinds in outbox.subscriptions(session).values()):
        outbox.add(session, [new_message(kind, job.finished_at, about=_about_job(session, job))])


def record_node_events(session: Session, happened: Iterable[tables.Event]) -> None:
    """Record that nodes have disappeared or returned, if there is a webhook.

    A notification of a node replaces an earlier one that has not been sent, and is sent when that one was due. The
    notification of a repeated event waits longer, because a flapping node would flood the receivers.

    Args:
        session: the transaction in which it happens.
        happened: events that monitoring caused, after they were added to the store.
    """
    notified = [(event, kind) for event in happened if (kind := _kind_of(event)) is not None]
    if not notified or not outbox.subscriptions(session):
        return
    waiting = outbox.unaddressed_of_nodes(session)
    fresh: dict[str | None, tables.Notification] = {}
    for event, kind in notified:
        message = new_message(kind, event.at, node=event.node, about=_about_node(event))
        message.due_at += outbox.LONGEST_WAIT if event.times > 1 else timedelta()
        if before := fresh.pop(event.node, None) or waiting.get(event.node):
            message.due_at = before.due_at
        fresh[event.node] = message
    outbox.delete(session, [waiting[node].id for node in fresh if node in waiting])
    outbox.add(session, fresh.values())


def new_message(
    kind: NotificationKind, at: datetime, *, about: dict[str, Any], node: str | None = None
) -> tables.Notification:
    """Return a message that is due at once.

    Args:
        kind: what the message reports.
        at: when it happened.
        about: the job or the nodes, as members of the body.
        node: the node whose later messages replace this one; None for none.
    """
    return tables.Notification(key=str(uuid4()), at=at, due_at=at, event=kind, node=node, about=about)


def _kind_of(event: tables.Event) -> NotificationKind | None:
    """Return the kind of notification for an event. A new node, or one that changed its address, has not returned."""
    if event.event == EventName.DISAPPEARED:
        return NotificationKind.NODE_DISAPPEARED
    before: Sequence[Any] = event.changes.get("state", [None])
    return NotificationKind.NODE_RETURNED if before[0] == State.DISAPPEARED else None


def _about_job(session: Session, job: tables.Job) -> dict[str, Any]:
    names = job_queries.node_names(session, job.id)
    failure = failures.first(session, job.id)
    assert job.finished_at is not None  # noqa: S101 -- it has ended
    return {
        "id": job.id,
        "action": job.action,
        "desc": job_views.describe(job, names),
        "nodes": names,
        "host_group": job.host_group,
        "check": job.check,
        "status": job.status,
        "error": job.error,
        "requested_by": job.requested_by,
        "trace_id": job.trace_id,
        "started_at": schemas.format_time(job.started_at) if job.started_at else None,
        "finished_at": schemas.format_time(job.finished_at),
        "seconds": job.seconds,
        "first_failure": failure and {"node": failure.node, "task": failure.task, "message": failure.message},
    }


def _about_node(event: tables.Event) -> dict[str, Any]:
    return {
        "name": event.node,
        "at": schemas.format_time(event.at),
        "detail": event.detail,
        "times": event.times,
        "since": schemas.format_time(event.since) if event.since else None,
    }
