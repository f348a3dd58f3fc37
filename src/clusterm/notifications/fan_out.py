"""Copies recorded messages to the webhooks that subscribe to them, and merges messages about nodes."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from clusterm.enums import NotificationKind
from clusterm.notifications.events import new_message
from clusterm.settings import Webhook
from clusterm.store import outbox, tables
from clusterm.store.session import Session

_MAX_NODES: Final = 200
"""Nodes in one message."""


def subscribe(session: Session, webhooks: Sequence[Webhook]) -> int:
    """Record which webhooks exist and what each is notified of.

    A webhook for ended jobs is notified of failed ones, too. The messages to webhooks that do not exist are deleted.

    Returns:
        The number of deleted messages.
    """
    kinds = {webhook.name: set(webhook.events) for webhook in webhooks}
    for wanted in kinds.values():
        if NotificationKind.JOB_ENDED in wanted:
            wanted.add(NotificationKind.JOB_FAILED)
    outbox.subscribe(session, kinds)
    return outbox.delete_orphans(session)


def fan_out(session: Session, now: datetime, settle: timedelta) -> None:
    """Replace every message that is due with a copy for each webhook that subscribes to its kind.

    Args:
        session: a writing transaction.
        now: the present time.
        settle: how long messages about nodes wait for further ones.
    """
    subscriptions = outbox.subscriptions(session)
    due = outbox.due(session, now, settle)
    for message in _merged(due):
        columns = message.model_dump(exclude={"id", "webhook", "node", "due_at"})
        subscribers = [name for name, kinds in subscriptions.items() if message.event in kinds]
        outbox.add(session, [tables.Notification(**columns, webhook=name, due_at=now) for name in subscribers])
    outbox.delete(session, [message.id for message in due])


def _merged(messages: Iterable[tables.Notification]) -> Iterator[tables.Notification]:
    """Yield messages, with those about nodes merged by kind."""
    together: dict[str, list[tables.Notification]] = {}
    for message in messages:
        together.setdefault(message.event if message.node else message.key, []).append(message)
    for alike in together.values():
        if alike[0].node is None:
            yield from alike
            continue
        for start in range(0, len(alike), _MAX_NODES):
            some = alike[start : start + _MAX_NODES]
            yield new_message(some[0].event, some[0].at, about={"nodes": [message.about for message in some]})
