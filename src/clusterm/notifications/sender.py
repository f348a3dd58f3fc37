"""Sends the messages of the outbox to the webhooks.

A message is retried until it is accepted or too old. While a webhook is unreachable, its messages wait in their order;
a message that the webhook rejects does not delay the others. Back-off is not stored: a new service retries at once.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import httpx

from clusterm.common.background_task import AsyncPeriodicTask
from clusterm.common.backoff import Backoff
from clusterm.notifications import fan_out, payloads
from clusterm.settings import NotificationSettings, Settings, Webhook
from clusterm.store import outbox, tables
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError

log = logging.getLogger(__name__)

_POLL_INTERVAL_S: Final = 1.0
_REQUEST_TIMEOUT_S: Final = 15.0
"""Seconds that a receiver has for its whole response."""

_FIRST_RETRY_DELAY_S: Final = 1.0
_MAX_RETRY_DELAY_S: Final = 600.0
_MAX_RETRY_AFTER_S: Final = 3600.0
"""Seconds of a Retry-After that are respected."""

_STOP_TIMEOUT_S: Final = 5.0  # long enough for a transaction

_REFUSALS: Final = frozenset({400, 413, 415, 422})
"""Response statuses that reject the message, and say nothing about the receiver."""


class DeliveryFailure(NamedTuple):
    """Why a message was not delivered."""

    reason: str
    of_message: bool = False
    """Whether the failure is about this message, so that others may be delivered."""
    retry_after: float = 0.0
    """Seconds after which the receiver asks for the next attempt."""


def _new_backoff() -> Backoff:
    return Backoff(_FIRST_RETRY_DELAY_S, _MAX_RETRY_DELAY_S, jitter=0.5)


@dataclass
class _Receiver:
    """State of a webhook while the service runs."""

    task: asyncio.Task[None] | None = None
    problem: str | None = None
    backoff: Backoff = field(default_factory=_new_backoff)
    refused: dict[int, Backoff] = field(default_factory=dict)  # by message
    taken: set[int] = field(default_factory=set)  # delivered messages that the outbox still contains


class NotificationSender(AsyncPeriodicTask):
    """Sends notifications to webhooks.

    Args:
        store: the store.
        settings: returns the present settings.
    """

    def __init__(self, store: Store, settings: Callable[[], Settings]) -> None:
        super().__init__(
            "notification_sender",
            _POLL_INTERVAL_S,
            stop_timeout=_STOP_TIMEOUT_S,
            expected=(OSError, StoreError),
        )
        self._store = store
        self._settings = settings
        self._receivers: dict[str, _Receiver] = {}
        self._configured: NotificationSettings | None = None
        self._client: httpx.AsyncClient | None = None  # created for the first message

    def start(self) -> None:
        """Start the thread. From now on events are recorded for the webhooks of the settings."""
        try:
            self._fan_out()
        except StoreError as error:
            log.error("cannot record the webhooks, retrying: %s", error)  # noqa: TRY400
        super().start()

    def problems(self) -> list[str]:
        """Return why webhooks cannot be notified at present."""
        configured = [webhook.name for webhook in self._settings().notifications.webhooks]
        found = ((name, self._receivers[name].problem) for name in configured if name in self._receivers)
        return [f"the webhook {name} cannot be notified: {problem}" for name, problem in found if problem]

    async def run(self) -> None:
        """Start to send to the webhooks that have messages, unless that is in progress or has just failed."""
        waiting = await asyncio.to_thread(self._fan_out)
        for name, receiver in self._receivers.items():
            if name not in waiting:
                receiver.problem = None
        for name in waiting:
            receiver = self._receivers.setdefault(name, _Receiver())
            if (receiver.task is None or receiver.task.done()) and receiver.backoff.is_over():
                receiver.task = asyncio.create_task(self._send_all(name, receiver))

    async def close(self) -> None:
        """Cancel messages in flight: the next service may send them again."""
        tasks = [receiver.task for receiver in self._receivers.values() if receiver.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def _fan_out(self) -> list[str]:
        """Copy due messages to webhooks, drop old ones, and return the names of webhooks with messages to send."""
        settings = self._settings().notifications
        if settings is not self._configured:
            with self._store.write() as session:
                fan_out.subscribe(session, settings.webhooks)
            self._configured = settings
        if not settings.webhooks:
            return []
        now = datetime.now(UTC)
        settle, oldest = timedelta(seconds=settings.settle), now - timedelta(days=settings.give_up_after)
        with self._store.read() as session:
            due = outbox.is_due(session, now, settle)
            old = outbox.has_expired(session, oldest)
        if due or old:
            with self._store.write() as session:
                fan_out.fan_out(session, now, settle)
                dropped = outbox.expire(session, oldest)
            for name, number in dropped.items():
                reason = "dropped %d messages to the webhook %s: they are older than %g days"
                log.error(reason, number, name, settings.give_up_after)
        with self._store.read() as session:
            counts = outbox.counts(session)
        return [name for name, count in counts.items() if count.pending]

    async def _send_all(self, name: str, receiver: _Receiver) -> None:
        """Send the messages of a webhook until there are none, or until it fails."""
        try:
            while (webhook := self._webhook(name)) and receiver.backoff.is_over():
                message = await asyncio.to_thread(self._next, name, receiver)
                if message is None:
                    return
                if message.id not in receiver.taken and not await self._send(webhook, receiver, message):
                    continue
                receiver.taken.add(message.id)
                await asyncio.to_thread(self._mark_sent, message.id)
                receiver.taken.remove(message.id)
        except StoreError as error:
            log.error("cannot read or update the messages of the webhook %s, retrying: %s", name, error)  # noqa: TRY400
        except Exception:
            receiver.backoff.fail()
            log.exception("sending to the webhook %s failed, retrying. Please report this", name)

    async def _send(self, webhook: Webhook, receiver: _Receiver, message: tables.Notification) -> bool:
        """Send a message, and return whether it was delivered."""
        url = self._settings().manager.public_url
        self._client = self._client or _new_client()
        problem = await _post(self._client, webhook, *payloads.request(webhook, message, url, int(time.time())))
        self._record_delivery(receiver, message, problem)
        return problem is None

    def _webhook(self, name: str) -> Webhook | None:
        return next((each for each in self._settings().notifications.webhooks if each.name == name), None)

    def _next(self, name: str, receiver: _Receiver) -> tables.Notification | None:
        """Return the oldest message of a webhook whose back-off is over; None if there is none."""
        with self._store.read() as session:
            waiting = outbox.of_webhook(session, name, limit=len(receiver.refused) + 1)
        numbers = {message.id for message in waiting}
        receiver.refused = {number: backoff for number, backoff in receiver.refused.items() if number in numbers}
        return next((each for each in waiting if _may_try(receiver, each.id)), None)

    def _mark_sent(self, number: int) -> None:
        with self._store.write() as session:
            outbox.mark_sent(session, number)

    def _record_delivery(
        self, receiver: _Receiver, message: tables.Notification, problem: DeliveryFailure | None
    ) -> None:
        about = f"the webhook {message.webhook}"
        if problem is None:
            if receiver.problem is not None:
                log.info("%s is notified again", about)
            receiver.problem = None
            receiver.backoff.reset()
            receiver.refused.pop(message.id, None)
            return
        if problem.reason != receiver.problem:
            log.warning("%s cannot be notified, retrying: %s", about, problem.reason)
        receiver.problem = problem.reason
        backoff = receiver.refused.setdefault(message.id, _new_backoff()) if problem.of_message else receiver.backoff
        backoff.fail(at_least=min(problem.retry_after, _MAX_RETRY_AFTER_S))


def send_test(webhook: Webhook) -> DeliveryFailure | None:
    """Send a test message to a webhook, and return why that failed, or None."""

    async def send() -> DeliveryFailure | None:
        async with _new_client() as client:
            return await _post(client, webhook, *payloads.test_request(webhook, int(time.time())))

    return asyncio.run(send())


async def _post(
    client: httpx.AsyncClient, webhook: Webhook, content: bytes, headers: dict[str, str]
) -> DeliveryFailure | None:
    """Send a request to a webhook, and return why that failed, or None."""
    try:
        async with (
            asyncio.timeout(_REQUEST_TIMEOUT_S),
            client.stream("POST", webhook.url, content=content, headers=headers) as response,
        ):
            if response.is_success:
                return None
            status, retry_after = response.status_code, response.headers.get("Retry-After", "")
    except TimeoutError:
        return DeliveryFailure(f"no answer within {_REQUEST_TIMEOUT_S:g} seconds")
    except httpx.ConnectError as error:
        return DeliveryFailure(f"it cannot be reached: {error}")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return DeliveryFailure(str(error) or type(error).__name__)
    is_number = retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10
    seconds = float(retry_after) if is_number else 0.0
    return DeliveryFailure(f"it answered {status} {response.reason_phrase}".rstrip(), status in _REFUSALS, seconds)


def _new_client() -> httpx.AsyncClient:
    """Return a client that verifies certificates by the system's trust store, and follows no redirects.

    It keeps no connections, because an idle one may be closed by the time of the next message.
    """
    return httpx.AsyncClient(
        verify=ssl.create_default_context(),
        timeout=_REQUEST_TIMEOUT_S,
        follow_redirects=False,
        limits=httpx.Limits(max_keepalive_connections=0),
    )


def _may_try(receiver: _Receiver, number: int) -> bool:
    return number not in receiver.refused or receiver.refused[number].is_over()
