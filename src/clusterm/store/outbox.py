"""The outbox: what webhooks are still to be told of.

A message is written in the transaction that makes what it tells of happen, so neither is ever there without the other.
It is written once and shared out among the webhooks later, since the process that ends a job does not know them.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import uuid4

from sqlalchemy import ColumnElement, delete, func, insert, or_
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from clusterm import schemas
from clusterm.enums import EventName, JobStatus, NotificationKind, State
from clusterm.store import job_views, runtime_values, tables
from clusterm.store import jobs as job_queries

_FLAPPING: Final = timedelta(hours=1)
"""How long news of a node wait that repeat themselves; what they say in the end is sent."""

_NODES: Final = 200
"""Nodes that one message tells of."""


class Count(NamedTuple):
    """What became of the messages to a webhook."""

    pending: int
    sent: int
    failed: int


def record_job_end(session: Session, job: tables.Job) -> None:
    """Note that a job has ended, where a webhook wants to know.

    Args:
        session: the transaction that ends it.
        job: the ended job.
    """
    event = NotificationKind.JOB_FAILED if job.status is JobStatus.ERRORED else NotificationKind.JOB_ENDED
    assert job.finished_at is not None  # noqa: S101 -- it has ended
    if any(_wants(events, event) for events in runtime_values.get(session, runtime_values.WEBHOOKS).values()):
        _insert(session, [_message(event, job.finished_at, about=_about(session, job))])


def record_node_events(session: Session, news: Sequence[tables.Event]) -> None:
    """Note that nodes disappeared or are back, where a webhook wants to know.

    What is not sent yet of a node is replaced. News that repeat themselves wait longer: a node that flaps would flood.

    Args:
        session: the transaction in which it happens.
        news: the events that say so.
    """
    told = [(event, name) for event in news if (name := _event_of(event)) is not None]
    if not told or not runtime_values.get(session, runtime_values.WEBHOOKS):
        return
    row = tables.Notification
    waiting = {
        message.node: message
        for message in session.exec(select(row).where(col(row.webhook).is_(None), col(row.node).is_not(None)))
    }
    fresh: dict[str | None, tables.Notification] = {}
    for event, name in told:
        message = _message(name, event.at, node=event.node, about=_of_node(event))
        message.due_at += _FLAPPING if event.times > 1 else timedelta()
        if before := fresh.pop(event.node, None) or waiting.get(event.node):
            message.due_at = before.due_at
        fresh[event.node] = message
    replaced = [waiting[node].id for node in fresh if node in waiting]
    for start in range(0, len(replaced), 1000):
        session.execute(delete(row).where(col(row.id).in_(replaced[start : start + 1000])))
    _insert(session, fresh.values())


def fan_out(session: Session, now: datetime, settle: timedelta) -> None:
    """Give every webhook its own copy of the messages that it wants and that are due.

    Args:
        session: a writing transaction.
        now: the present time.
        settle: how long news of nodes wait for more.
    """
    webhooks = runtime_values.get(session, runtime_values.WEBHOOKS)
    due = session.exec(_due(now, settle)).all()
    for message in _merged(due):
        _insert(
            session,
            [
                tables.Notification(**message.model_dump(exclude={"id", "webhook", "node"}), webhook=name)
                for name, events in webhooks.items()
                if _wants(events, message.event)
            ],
        )
    for message in due:
        session.delete(message)


def is_due(session: Session, now: datetime, settle: timedelta) -> bool:
    """Tell whether there is anything to share out."""
    return session.exec(_due(now, settle).limit(1)).first() is not None


def configure(session: Session, webhooks: Mapping[str, Collection[NotificationKind]]) -> None:
    """Remember which webhooks there are, and what each wants to be told of."""
    wanted = {name: sorted(events) for name, events in webhooks.items()}
    if runtime_values.get(session, runtime_values.WEBHOOKS) != wanted:
        runtime_values.put(session, runtime_values.WEBHOOKS, wanted)


def of_webhook(session: Session, webhook: str, *, limit: int) -> Sequence[tables.Notification]:
    """Return the messages that wait to be sent to a webhook, the oldest first."""
    row = tables.Notification
    return session.exec(select(row).where(row.webhook == webhook).order_by(col(row.id)).limit(limit)).all()


def mark_sent(session: Session, number: int, *, sent: bool) -> None:
    """Forget a message that was sent or given up, and count it."""
    message = session.get(tables.Notification, number)
    if message is not None:
        _count(session, message, sent=sent)
        session.delete(message)


def expire(session: Session, before: datetime) -> Counter[str]:
    """Forget the messages that are older than some time, and return how many they were to each webhook."""
    old = session.exec(_older(before)).all()
    for message in old:
        _count(session, message, sent=False)
        session.delete(message)
    return Counter(str(message.webhook) for message in old)


def is_old(session: Session, before: datetime) -> bool:
    """Tell whether any message is older than some time."""
    return session.exec(_older(before).limit(1)).first() is not None


def counts(session: Session) -> dict[str, Count]:
    """Return what became of the messages to every webhook."""
    row = tables.Notification
    query = select(row.webhook, row.event, func.count()).where(or_(col(row.webhook).is_not(None), _settled_at_once()))
    waiting = session.exec(query.group_by(col(row.webhook), col(row.event))).all()
    done = runtime_values.get(session, runtime_values.NOTIFIED)
    found = {}
    for name, events in runtime_values.get(session, runtime_values.WEBHOOKS).items():
        mine = (n for of, event, n in waiting if of == name or (of is None and _wants(events, NotificationKind(event))))
        found[name] = Count(sum(mine), **(done.get(name) or {"sent": 0, "failed": 0}))
    return found


def _wants(events: Collection[str], event: NotificationKind) -> bool:
    return event in events or (event is NotificationKind.JOB_FAILED and NotificationKind.JOB_ENDED in events)


def _event_of(event: tables.Event) -> NotificationKind | None:
    """Return what an event is to webhooks. A node that comes for the first time, or moves, has not returned."""
    if event.event == EventName.DISAPPEARED:
        return NotificationKind.NODE_DISAPPEARED
    before = event.changes.get("state", [None])[0]
    return NotificationKind.NODE_RETURNED if before == State.DISAPPEARED else None


def _message(event: NotificationKind, at: datetime, **members: Any) -> tables.Notification:
    return tables.Notification(key=str(uuid4()), at=at, due_at=at, event=event, **members)


def _about(session: Session, job: tables.Job) -> dict[str, Any]:
    names = job_queries.node_names(session, job.id)
    failure = schemas.Failure.model_validate(job.failures[0]) if job.failures else None
    assert job.finished_at is not None  # noqa: S101 -- it has ended
    # The clock may have been set back meanwhile.
    seconds = max((job.finished_at - job.started_at).total_seconds(), 0.0) if job.started_at else None
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
        "started_at": schemas.format_time(job.started_at) if job.started_at else None,
        "finished_at": schemas.format_time(job.finished_at),
        "seconds": seconds,
        "first_failure": failure and {"node": failure.node, "task": failure.task, "message": failure.message},
    }


def _of_node(event: tables.Event) -> dict[str, Any]:
    return {
        "name": event.node,
        "at": schemas.format_time(event.at),
        "detail": event.detail,
        "times": event.times,
        "since": schemas.format_time(event.since) if event.since else None,
    }


def _due(now: datetime, settle: timedelta) -> SelectOfScalar[tables.Notification]:
    row = tables.Notification
    settled = or_(_settled_at_once(), col(row.due_at) <= now - settle)
    return select(row).where(col(row.webhook).is_(None), col(row.due_at) <= now, settled).order_by(col(row.id))


def _settled_at_once() -> ColumnElement[bool]:
    """Return the condition that a message waits for no more news."""
    return col(tables.Notification.node).is_(None)


def _older(before: datetime) -> SelectOfScalar[tables.Notification]:
    row = tables.Notification
    return select(row).where(col(row.webhook).is_not(None), col(row.at) < before)


def _merged(messages: Iterable[tables.Notification]) -> Iterator[tables.Notification]:
    """Yield messages of which each tells of all the nodes that went together."""
    together: dict[str, list[tables.Notification]] = {}
    for message in messages:
        together.setdefault(message.event if message.node else message.key, []).append(message)
    for alike in together.values():
        if alike[0].node is None:
            yield from alike
            continue
        for start in range(0, len(alike), _NODES):
            some = alike[start : start + _NODES]
            yield _message(some[0].event, some[0].at, about={"nodes": [message.about for message in some]})


def _insert(session: Session, messages: Iterable[tables.Notification]) -> None:
    rows: list[dict[str, Any]] = [message.model_dump(exclude={"id"}) for message in messages]
    if rows:
        session.execute(insert(tables.Notification), rows)


def _count(session: Session, message: tables.Notification, *, sent: bool) -> None:
    done = runtime_values.get(session, runtime_values.NOTIFIED)
    counted = done.setdefault(str(message.webhook), {"sent": 0, "failed": 0})
    counted["sent" if sent else "failed"] += 1
    runtime_values.put(session, runtime_values.NOTIFIED, done)
