"""The outbox: messages to webhooks that have not been sent, the subscriptions of webhooks, and delivery counts.

A message is inserted in the transaction of the change that it reports, so neither exists without the other. It has no
webhook then, because the process that ends a job does not know the settings of webhooks; the service later replaces it
with one copy for each subscribed webhook.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, func, insert, or_
from sqlalchemy import delete as sql_delete
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from clusterm.enums import NotificationKind
from clusterm.store import runtime_values, tables

_MAX_IDS: Final = 1000
"""Ids in one statement; SQLite limits the parameters of a statement."""


class Count(NamedTuple):
    """How many messages to a webhook are waiting, were sent, and were dropped without being sent."""

    pending: int
    sent: int
    failed: int


def subscriptions(session: Session) -> dict[str, list[str]]:
    """Return the kinds of notification that each webhook subscribes to, by the name of the webhook."""
    return runtime_values.get(session, runtime_values.WEBHOOKS)


def subscribe(session: Session, webhooks: Mapping[str, Collection[NotificationKind]]) -> None:
    """Replace all subscriptions."""
    wanted = {name: sorted(kinds) for name, kinds in webhooks.items()}
    if subscriptions(session) != wanted:
        runtime_values.put(session, runtime_values.WEBHOOKS, wanted)


def add(session: Session, messages: Iterable[tables.Notification]) -> None:
    """Insert messages, in order."""
    rows: list[dict[str, Any]] = [message.model_dump(exclude={"id"}) for message in messages]
    if rows:
        session.execute(insert(tables.Notification), rows)


def delete(session: Session, ids: Sequence[int]) -> None:
    """Delete messages without counting them."""
    row = tables.Notification
    for start in range(0, len(ids), _MAX_IDS):
        session.execute(sql_delete(row).where(col(row.id).in_(ids[start : start + _MAX_IDS])))


def unaddressed_of_nodes(session: Session) -> dict[str | None, tables.Notification]:
    """Return the messages about nodes that have not been copied to webhooks, by the name of the node."""
    row = tables.Notification
    query = select(row).where(col(row.webhook).is_(None), col(row.node).is_not(None))
    return {message.node: message for message in session.exec(query)}


def due(session: Session, now: datetime, settle: timedelta) -> Sequence[tables.Notification]:
    """Return the messages that are to be copied to webhooks, the oldest first.

    Args:
        session: any transaction.
        now: the present time.
        settle: how long messages about nodes wait for further ones.
    """
    return session.exec(_due(now, settle)).all()


def is_due(session: Session, now: datetime, settle: timedelta) -> bool:
    """Return whether `due` would return a message."""
    return session.exec(_due(now, settle).limit(1)).first() is not None


def of_webhook(session: Session, webhook: str, *, limit: int) -> Sequence[tables.Notification]:
    """Return the messages that wait to be sent to a webhook, the oldest first."""
    row = tables.Notification
    return session.exec(select(row).where(row.webhook == webhook).order_by(col(row.id)).limit(limit)).all()


def mark_sent(session: Session, message_id: int) -> None:
    """Delete a message, unless it is deleted already, and count it as sent."""
    message = session.get(tables.Notification, message_id)
    if message is not None:
        _count(session, message, "sent")
        session.delete(message)


def expire(session: Session, before: datetime) -> Counter[str]:
    """Delete the copies for webhooks of messages older than a time, and count them as failed.

    Returns:
        The number of deleted messages, by the name of the webhook.
    """
    old = session.exec(_older(before)).all()
    for message in old:
        _count(session, message, "failed")
        session.delete(message)
    return Counter(str(message.webhook) for message in old)


def has_expired(session: Session, before: datetime) -> bool:
    """Return whether `expire` would delete a message."""
    return session.exec(_older(before).limit(1)).first() is not None


def counts(session: Session) -> dict[str, Count]:
    """Return the counts of all webhooks that have a subscription. Messages that wait for further ones do not count."""
    row = tables.Notification
    query = select(row.webhook, row.event, func.count()).where(or_(col(row.webhook).is_not(None), _never_settles()))
    waiting = session.exec(query.group_by(col(row.webhook), col(row.event))).all()
    done = runtime_values.get(session, runtime_values.NOTIFIED)
    found = {}
    for name, kinds in subscriptions(session).items():
        pending = sum(number for webhook, kind, number in waiting if webhook == name or (not webhook and kind in kinds))
        found[name] = Count(pending, **(done.get(name) or {"sent": 0, "failed": 0}))
    return found


def _due(now: datetime, settle: timedelta) -> SelectOfScalar[tables.Notification]:
    row = tables.Notification
    settled = or_(_never_settles(), col(row.due_at) <= now - settle)
    return select(row).where(col(row.webhook).is_(None), col(row.due_at) <= now, settled).order_by(col(row.id))


def _never_settles() -> ColumnElement[bool]:
    """Return the condition that a message does not wait for further ones, because it is not about a node."""
    return col(tables.Notification.node).is_(None)


def _older(before: datetime) -> SelectOfScalar[tables.Notification]:
    row = tables.Notification
    return select(row).where(col(row.webhook).is_not(None), col(row.at) < before)


def _count(session: Session, message: tables.Notification, outcome: str) -> None:
    done = runtime_values.get(session, runtime_values.NOTIFIED)
    counted = done.setdefault(str(message.webhook), {"sent": 0, "failed": 0})
    counted[outcome] += 1
    runtime_values.put(session, runtime_values.NOTIFIED, done)
