"""Sends the messages of the outbox to the webhooks.

A message is retried until it is accepted or too old. While a webhook is unreachable, its messages wait in their order;
a message that the webhook rejects does not delay the others. Back-off is not stored: a new service retries at once.
"""

import asyncio
import heapq
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import httpx

from clusterm.common.background_task import AsyncPeriodicTask
from clusterm.common.backoff import Backoff
from clusterm.common.clock_steps import ClockSteps
from clusterm.common.name_lookup import NameLookupLoop
from clusterm.common.retry_after import parse_retry_after
from clusterm.notifications import fan_out, payloads, proxies
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


class _Refused:
    """The messages that a webhook has rejected, each with its own back-off."""

    def __init__(self) -> None:
        self._backoffs: dict[int, Backoff] = {}
        self._due: list[tuple[float, int]] = []  # heap of monotonic times and messages, except the one being sent

    def __len__(self) -> int:
        return len(self._backoffs)

    def add(self, number: int, retry_after: float) -> None:
        """Record that a message was rejected, again or for the first time."""
        delay = self._backoffs.setdefault(number, _new_backoff()).fail(at_least=retry_after)
        heapq.heappush(self._due, (time.monotonic() + delay, number))

    def put_back(self, number: int) -> None:
        """Record that a message could not be sent again. Messages that were not rejected are ignored."""
        if number in self._backoffs:
            heapq.heappush(self._due, (time.monotonic(), number))

    def discard(self, number: int) -> None:
        """Forget a message that was delivered or deleted, if it was rejected before."""
        self._backoffs.pop(number, None)

    def retry_at_once(self) -> None:
        """End the back-off of all messages."""
        self._due = sorted((0.0, number) for _, number in self._due)
        for backoff in self._backoffs.values():
            backoff.reset()

    def take(self) -> int | None:
        """Take a message whose back-off is over; None if there is none."""
        if self._due and self._due[0][0] <= time.monotonic():
            return heapq.heappop(self._due)[1]
        return None


@dataclass
class _Receiver:
    """State of a webhook while the service runs."""

    task: asyncio.Task[None] | None = None
    failure: str | None = None
    """Why its messages wait."""
    rejection: str | None = None
    """Its last answer to a message that it rejected."""
    dropped: int = 0
    """Messages that were dropped since one was delivered."""
    backoff: Backoff = field(default_factory=_new_backoff)
    refused: _Refused = field(default_factory=_Refused)
    tried: int = 0
    """Id of the last message that was tried: every older one was delivered or rejected."""
    taken: set[int] = field(default_factory=set)
    """Delivered messages that the outbox still contains."""

    def is_busy(self) -> bool:
        """Return whether messages are being sent."""
        return self.task is not None and not self.task.done()

    def problem(self) -> str | None:
        """Return what prevents deliveries, or has prevented them permanently; None if nothing does."""
        found = [self.failure] if self.failure else []
        if self.refused:
            found.append(f"it rejects {len(self.refused)} messages: {self.rejection}")
        if self.dropped:
            found.append(f"{self.dropped} messages were dropped because they were too old")
        return "; ".join(found) or None

    def retry_at_once(self) -> None:
        """Forget the failures: the settings may be other ones."""
        self.failure, self.dropped = None, 0
        self.backoff.reset()
        self.refused.retry_at_once()


class _Turn(NamedTuple):
    """What a look into the outbox has found."""

    waiting: list[str]
    """The webhooks with messages to send."""
    dropped: Mapping[str, int]
    """The number of messages that were dropped, by the name of the webhook."""


class NotificationSender(AsyncPeriodicTask):
    """Sends notifications to webhooks, to each independently of the others.

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
        self._unusable: dict[str, str] = {}  # why webhooks cannot be notified with this environment
        self._configured: NotificationSettings | None = None
        self._clock = ClockSteps()
        self._step = timedelta()  # of the clock, not yet applied to the outbox
        self._tls: ssl.SSLContext | None = None  # loaded for the first message

    def start(self) -> None:
        """Start the thread. From now on events are recorded for the webhooks of the settings."""
        try:
            self._configure(self._settings().notifications)
        except StoreError as error:
            log.error("cannot record the webhooks, retrying: %s", error)  # noqa: TRY400
        super().start()

    def problems(self) -> list[str]:
        """Return why webhooks cannot be notified at present, or why messages were dropped."""
        found = []
        for webhook in self._webhooks():
            receiver = self._receivers.get(webhook.name)
            problem = self._unusable.get(webhook.name) or (receiver and receiver.problem())
            if problem:
                found.append(f"the webhook {webhook.name} cannot be notified: {problem}")
        return found

    async def run(self) -> None:
        """Start to send to the webhooks that have messages, unless that is in progress or has just failed."""
        configured = self._configured
        turn = await asyncio.to_thread(self._look)
        if self._configured is not configured:
            self._receivers = {webhook.name: self._receiver(webhook.name) for webhook in self._webhooks()}
            for receiver in self._receivers.values():
                receiver.retry_at_once()
        for name, number in turn.dropped.items():
            self._receiver(name).dropped += number
        for name, receiver in self._receivers.items():
            if name not in turn.waiting and not receiver.is_busy():
                receiver.refused = _Refused()
        for name in turn.waiting:
            receiver = self._receiver(name)
            if not receiver.is_busy() and receiver.backoff.is_over():
                receiver.task = asyncio.create_task(self._send_all(name, receiver))

    async def close(self) -> None:
        """Cancel messages in flight: the next service may send them again."""
        tasks = [receiver.task for receiver in self._receivers.values() if receiver.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _receiver(self, name: str) -> _Receiver:
        return self._receivers.setdefault(name, _Receiver())

    def _configure(self, settings: NotificationSettings) -> None:
        """Record the webhooks of new settings in the store, and check that each can be notified from here."""
        with self._store.write() as session:
            deleted = fan_out.subscribe(session, settings.webhooks)
            outbox.correct_ages(session, timedelta(), datetime.now(UTC))
        if deleted:
            log.warning("dropped %d messages to webhooks that are not in the configuration", deleted)
        self._unusable = {}
        for webhook in settings.webhooks:
            try:
                proxies.proxy_for(webhook.url)
            except proxies.UnusableProxy as error:
                log.error("the webhook %s cannot be notified: %s", webhook.name, error)  # noqa: TRY400
                self._unusable[webhook.name] = str(error)
        if settings.webhooks and (invalid := proxies.invalid_exemptions()):
            log.warning("NO_PROXY has entries that are no networks: %s", " ".join(invalid))
        self._configured = settings

    def _look(self) -> _Turn:
        """Copy due messages to webhooks, drop old ones, and find the webhooks with messages to send."""
        settings = self._settings().notifications
        if settings is not self._configured:
            self._configure(settings)
        if not settings.webhooks:
            return _Turn([], {})
        now = datetime.now(UTC)
        self._step += self._clock.since_last()
        if self._step:
            log.warning("the clock was set by %.0f s", self._step.total_seconds())
            with self._store.write() as session:
                outbox.correct_ages(session, self._step, now)
            self._step = timedelta()
        settle, oldest = timedelta(seconds=settings.settle), now - timedelta(days=settings.give_up_after)
        names = [webhook.name for webhook in settings.webhooks]
        with self._store.read() as session:
            first = {name: message for name in names if (message := outbox.first(session, name))}
            due = outbox.is_due(session, now, settle)
        dropped: Mapping[str, int] = {}
        if due or any(message.due_at < oldest for message in first.values()):
            with self._store.write() as session:
                fan_out.fan_out(session, now, settle)
                dropped = outbox.expire(session, oldest)
            for name, number in dropped.items():
                reason = "dropped %d messages to the webhook %s: they are older than %g days"
                log.error(reason, number, name, settings.give_up_after)
            with self._store.read() as session:
                return _Turn([name for name in names if outbox.first(session, name)], dropped)
        return _Turn(list(first), dropped)

    async def _send_all(self, name: str, receiver: _Receiver) -> None:
        """Send the messages of a webhook until there are none, or until it fails."""
        try:
            while (webhook := self._webhook(name)) and receiver.backoff.is_over():
                for number in list(receiver.taken):
                    await asyncio.to_thread(self._mark_sent, number)
                    receiver.taken.remove(number)
                message = await self._next(name, receiver)
                if message is None:
                    return
                await self._send(webhook, receiver, message)
        except StoreError as error:
            log.error("cannot read or update the messages of the webhook %s, retrying: %s", name, error)  # noqa: TRY400

    async def _send(self, webhook: Webhook, receiver: _Receiver, message: tables.Notification) -> None:
        """Send a message, and record the result."""
        manager = self._settings().manager
        self._tls = self._tls or ssl.create_default_context()
        try:
            request = payloads.request(webhook, message, manager, int(time.time()))
            failure = await _post(self._tls, webhook, *request)
        except Exception as error:
            log.exception("sending to the webhook %s failed, retrying. Please report this", webhook.name)
            failure = DeliveryFailure(f"internal error: {error!r}", of_message=True)
        if failure is None:
            receiver.taken.add(message.id)
        self._record_delivery(receiver, message, failure)

    def _webhooks(self) -> tuple[Webhook, ...]:
        return self._settings().notifications.webhooks

    def _webhook(self, name: str) -> Webhook | None:
        return next((each for each in self._webhooks() if each.name == name), None)

    async def _next(self, name: str, receiver: _Receiver) -> tables.Notification | None:
        """Return the message to send next: the oldest one that was not tried, or one that was rejected long ago."""
        if message := await asyncio.to_thread(self._first, name, receiver.tried):
            return message
        while (number := receiver.refused.take()) is not None:
            if message := await asyncio.to_thread(self._get, number):
                return message
            receiver.refused.discard(number)
        return None

    def _first(self, name: str, after: int) -> tables.Notification | None:
        with self._store.read() as session:
            return outbox.first(session, name, after=after)

    def _get(self, number: int) -> tables.Notification | None:
        with self._store.read() as session:
            return outbox.get(session, number)

    def _mark_sent(self, number: int) -> None:
        with self._store.write() as session:
            outbox.mark_sent(session, number)

    def _record_delivery(
        self, receiver: _Receiver, message: tables.Notification, failure: DeliveryFailure | None
    ) -> None:
        about = f"the webhook {message.webhook}"
        if failure is None:
            if receiver.failure or receiver.dropped:
                log.info("%s is notified again", about)
            receiver.failure, receiver.dropped = None, 0
            receiver.backoff.reset()
            receiver.refused.discard(message.id)
            receiver.tried = max(receiver.tried, message.id)
            return
        retry_after = min(failure.retry_after, _MAX_RETRY_AFTER_S)
        if failure.of_message:
            if failure.reason != receiver.rejection or not receiver.refused:
                log.warning("%s rejects a message, retrying: %s", about, failure.reason)
            receiver.failure, receiver.rejection = None, failure.reason
            receiver.backoff.reset()
            receiver.refused.add(message.id, retry_after)
            receiver.tried = max(receiver.tried, message.id)
            return
        if failure.reason != receiver.failure:
            log.warning("%s cannot be notified, retrying: %s", about, failure.reason)
        receiver.failure = failure.reason
        receiver.refused.put_back(message.id)
        receiver.backoff.fail(at_least=retry_after)


def send_test(webhook: Webhook) -> DeliveryFailure | None:
    """Send a test message to a webhook, and return why that failed, or None."""
    request = payloads.test_request(webhook, int(time.time()))
    with asyncio.Runner(loop_factory=NameLookupLoop) as runner:
        return runner.run(_post(ssl.create_default_context(), webhook, *request))


async def _post(
    tls: ssl.SSLContext, webhook: Webhook, content: bytes, headers: dict[str, str]
) -> DeliveryFailure | None:
    """Send a request to a webhook, and return why that failed, or None.

    It follows no redirects, and keeps no connection, because an idle one may be closed by the time of the next message.
    """
    try:
        proxy = proxies.proxy_for(webhook.url)
        async with (
            asyncio.timeout(_REQUEST_TIMEOUT_S),
            httpx.AsyncClient(
                verify=tls,
                proxy=proxy and httpx.Proxy(proxy, ssl_context=tls if proxy.startswith("https:") else None),
                trust_env=False,
                timeout=_REQUEST_TIMEOUT_S,
                follow_redirects=False,
            ) as client,
            client.stream("POST", webhook.url, content=content, headers=headers) as response,
        ):
            if response.is_success:
                return None
            status, retry_after = response.status_code, response.headers.get("Retry-After", "")
    except proxies.UnusableProxy as error:
        return DeliveryFailure(str(error))
    except TimeoutError:
        return DeliveryFailure(f"no answer within {_REQUEST_TIMEOUT_S:g} seconds")
    except httpx.ConnectError as error:
        return DeliveryFailure(f"it cannot be reached: {error}")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        return DeliveryFailure(str(error) or type(error).__name__)
    reason = f"it answered {status} {response.reason_phrase}".rstrip()
    return DeliveryFailure(reason, status in _REFUSALS, parse_retry_after(retry_after))
