"""The outbox: messages to webhooks that have not been sent, the subscriptions of webhooks, and delivery counts.

A message is inserted in the transaction of the change that it reports, so neither exists without the other. It has no
webhook then, because the process that ends a job does not know the settings of webhooks; the service later replaces it
with one copy for each subscribed webhook.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, func, insert, or_, update
from sqlalchemy import delete as sql_delete
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from clusterm.enums import NotificationKind
from clusterm.store import runtime_values, tables

_MAX_IDS: Final = 1000
"""Ids in one statement; SQLite limits the parameters of a statement."""

LONGEST_WAIT: Final = timedelta(hours=1)
"""How long the notification of a repeated event of a node waits. Only the latest state is sent then."""


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


def delete_orphans(session: Session) -> int:
    """Delete the messages that no webhook will be sent, and return their number.

    They are the copies for webhooks without a subscription and, if there is no subscription, all others.
    """
    row, names = tables.Notification, list(subscriptions(session))
    orphaned = col(row.webhook).not_in(names)
    unwanted = orphaned if names else or_(orphaned, col(row.webhook).is_(None))
    return len(session.execute(sql_delete(row).where(unwanted).returning(col(row.id))).all())


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


def first(session: Session, webhook: str, *, after: int = 0) -> tables.Notification | None:
    """Return the oldest message that waits to be sent to a webhook and has an id greater than `after`."""
    row = tables.Notification
    query = select(row).where(row.webhook == webhook, col(row.id) > after)
    return session.exec(query.order_by(col(row.id)).limit(1)).first()


def get(session: Session, message_id: int) -> tables.Notification | None:
    """Return a message; None if it is deleted."""
    return session.get(tables.Notification, message_id)


def correct_ages(session: Session, step: timedelta, now: datetime) -> None:
    """Keep the ages of the copies for webhooks after the clock was set.

    Args:
        session: a writing transaction.
        step: by how much the clock was set forward.
        now: the present time. No copy is younger than that.
    """
    row = tables.Notification
    query = select(row.id, row.due_at).where(col(row.webhook).is_not(None))
    if not step:
        query = query.where(col(row.due_at) > now)
    changed = [{"id": number, "due_at": min(due_at + step, now)} for number, due_at in session.exec(query)]
    if changed:
        session.execute(update(row), changed)


def mark_sent(session: Session, message_id: int) -> None:
    """Delete a message, unless it is deleted already, and count it as sent."""
    message = session.get(tables.Notification, message_id)
    if message is not None:
        _count(session, str(message.webhook), "sent")
        session.delete(message)


def expire(session: Session, before: datetime) -> dict[str, int]:
    """Delete the copies for webhooks that were made before a time, and count them as failed.

    Returns:
        The number of deleted messages, by the name of the webhook.
    """
    row = tables.Notification
    older = (col(row.webhook).is_not(None), col(row.due_at) < before)
    found = session.exec(select(row.webhook, func.count()).where(*older).group_by(col(row.webhook))).all()
    session.execute(sql_delete(row).where(*older))
    for webhook, number in found:
        _count(session, str(webhook), "failed", number)
    return {str(webhook): number for webhook, number in found}


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
    # One that would wait for longer than any does was recorded before the clock was set back.
    from_the_future = col(row.due_at) > now + LONGEST_WAIT
    is_due = or_(_never_settles(), col(row.due_at) <= now - settle, from_the_future)
    return select(row).where(col(row.webhook).is_(None), is_due).order_by(col(row.id))


def _never_settles() -> ColumnElement[bool]:
    """Return the condition that a message does not wait for further ones, because it is not about a node."""
    return col(tables.Notification.node).is_(None)


def _count(session: Session, webhook: str, outcome: str, number: int = 1) -> None:
    done = runtime_values.get(session, runtime_values.NOTIFIED)
    counted = done.setdefault(webhook, {"sent": 0, "failed": 0})
    counted[outcome] += number
    runtime_values.put(session, runtime_values.NOTIFIED, done)
