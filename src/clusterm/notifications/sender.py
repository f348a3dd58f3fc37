"""Sends the messages in the outbox to the webhooks, in a thread with its own event loop, apart from the API's.

The sender retries a message until the receiver accepts it, or the message is too old. While a receiver is unreachable,
its messages wait in their order. A message that a receiver rejects for its content does not delay the other ones. The
state of back-offs is only in memory; after a restart, the service sends at once.
"""

import asyncio
import logging
import random
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import httpx

from clusterm.notifications import fan_out, payloads
from clusterm.settings import NotificationSettings, Settings, Webhook
from clusterm.store import outbox, tables
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError

log = logging.getLogger(__name__)

_POLL_INTERVAL_S: Final = 1.0  # between two checks of the outbox
_REQUEST_TIMEOUT_S: Final = 15.0  # until the end of the response
_FIRST_RETRY_DELAY_S: Final = 1.0  # doubles with each further retry
_MAX_RETRY_DELAY_S: Final = 600.0
_MAX_RETRY_AFTER_S: Final = 3600.0  # limit for a Retry-After of the receiver
_STOP_TIMEOUT_S: Final = 5.0  # to wait for a transaction at the end

_REJECTIONS: Final = frozenset({400, 413, 415, 422})
"""Status codes that reject the message for its content; the receiver may accept other messages."""


class DeliveryFailure(NamedTuple):
    """Why a receiver has not accepted a message."""

    reason: str
    of_message: bool = False
    """Whether the receiver rejected this message for its content, and may accept another one."""
    retry_after: float = 0.0
    """Seconds that the receiver asks to wait before the next request."""


@dataclass
class _Backoff:
    """Delays retries, exponentially with the number of failures."""

    failures: int = 0
    not_before: float = 0.0  # monotonic time

    def fail(self, retry_after: float) -> None:
        pause = min(_FIRST_RETRY_DELAY_S * 2 ** min(self.failures, 20), _MAX_RETRY_DELAY_S) * random.uniform(0.5, 1)  # noqa: S311
        self.failures += 1
        self.not_before = time.monotonic() + max(pause, min(retry_after, _MAX_RETRY_AFTER_S))

    def is_over(self) -> bool:
        return time.monotonic() >= self.not_before


@dataclass
class _Receiver:
    """The state of a webhook, in memory only."""

    task: asyncio.Task[None] | None = None
    problem: str | None = None
    backoff: _Backoff = field(default_factory=_Backoff)
    rejected: dict[int, _Backoff] = field(default_factory=dict)  # by message id
    accepted: set[int] = field(default_factory=set)  # ids of messages that are to be deleted, not sent again


class NotificationSender:
    """Notifies webhooks.

    Args:
        store: the store.
        settings: returns the current settings.
    """

    def __init__(self, store: Store, settings: Callable[[], Settings]) -> None:
        self._store = store
        self._settings = settings
        self._receivers: dict[str, _Receiver] = {}
        self._configured: NotificationSettings | None = None
        self._client: httpx.AsyncClient | None = None  # created for the first message
        self._stop: Callable[[], object] = lambda: None
        self._started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run()), name="notification_sender", daemon=True
        )

    def start(self) -> None:
        """Start the thread. From now on, messages are recorded for the webhooks in the settings."""
        try:
            self._fan_out()
        except StoreError as error:
            log.error("cannot store the webhooks, retrying: %s", error)  # noqa: TRY400
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Stop the thread. A message that is being sent may be sent again after the next start."""
        self._stop()
        self._thread.join(_STOP_TIMEOUT_S)

    def problems(self) -> list[str]:
        """Return the webhooks that cannot be notified at the moment, with the reasons."""
        configured = [webhook.name for webhook in self._settings().notifications.webhooks]
        found = ((name, self._receivers[name].problem) for name in configured if name in self._receivers)
        return [f"cannot notify the webhook {name}: {problem}" for name, problem in found if problem]

    async def _run(self) -> None:
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        self._stop = lambda: loop.call_soon_threadsafe(stopping.set)
        self._started.set()
        while not stopping.is_set():
            try:
                waiting = await asyncio.to_thread(self._fan_out)
            except StoreError as error:
                log.error("cannot read the outbox, retrying: %s", error)  # noqa: TRY400
                waiting = []
            for name, receiver in self._receivers.items():
                if name not in waiting:
                    receiver.problem = None
            for name in waiting:
                receiver = self._receivers.setdefault(name, _Receiver())
                if (receiver.task is None or receiver.task.done()) and receiver.backoff.is_over():
                    receiver.task = asyncio.create_task(self._send_all(name, receiver))
            try:
                async with asyncio.timeout(_POLL_INTERVAL_S):
                    await stopping.wait()
            except TimeoutError:
                pass
        tasks = [receiver.task for receiver in self._receivers.values() if receiver.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def _fan_out(self) -> list[str]:
        """Copy due messages to webhooks and drop old ones, and return the names of webhooks with messages to send."""
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
        """Send the messages to a webhook, until none is left or one fails."""
        try:
            while (webhook := self._webhook(name)) and receiver.backoff.is_over():
                message = await asyncio.to_thread(self._next, name, receiver)
                if message is None:
                    return
                if message.id not in receiver.accepted and not await self._send(webhook, receiver, message):
                    continue
                receiver.accepted.add(message.id)
                await asyncio.to_thread(self._mark_sent, message.id)
                receiver.accepted.remove(message.id)
        except StoreError as error:
            log.error("cannot update the outbox of the webhook %s, retrying: %s", name, error)  # noqa: TRY400
        except Exception:
            receiver.backoff.fail(0)
            log.exception("internal error while sending to the webhook %s. Please report this", name)

    async def _send(self, webhook: Webhook, receiver: _Receiver, message: tables.Notification) -> bool:
        """Send a message, and return whether the receiver accepted it."""
        url = self._settings().manager.public_url
        self._client = self._client or _new_client()
        failure = await _post(self._client, webhook, *payloads.request(webhook, message, url, int(time.time())))
        self._record(receiver, message, failure)
        return failure is None

    def _webhook(self, name: str) -> Webhook | None:
        return next((each for each in self._settings().notifications.webhooks if each.name == name), None)

    def _next(self, name: str, receiver: _Receiver) -> tables.Notification | None:
        """Return the oldest message to a webhook that can be sent now, None if there is none."""
        with self._store.read() as session:
            waiting = outbox.of_webhook(session, name, limit=len(receiver.rejected) + 1)
        numbers = {message.id for message in waiting}
        receiver.rejected = {number: backoff for number, backoff in receiver.rejected.items() if number in numbers}
        return next((each for each in waiting if _may_try(receiver, each.id)), None)

    def _mark_sent(self, number: int) -> None:
        with self._store.write() as session:
            outbox.mark_sent(session, number)

    def _record(self, receiver: _Receiver, message: tables.Notification, failure: DeliveryFailure | None) -> None:
        if failure is None:
            if receiver.problem is not None:
                log.info("the webhook %s is notified again", message.webhook)
            receiver.problem, receiver.backoff = None, _Backoff()
            receiver.rejected.pop(message.id, None)
            return
        if failure.reason != receiver.problem:
            log.warning("cannot notify the webhook %s, retrying: %s", message.webhook, failure.reason)
        receiver.problem = failure.reason
        backoff = receiver.rejected.setdefault(message.id, _Backoff()) if failure.of_message else receiver.backoff
        backoff.fail(failure.retry_after)


def send_test(webhook: Webhook) -> DeliveryFailure | None:
    """Send a test message to a webhook, and return why the receiver has not accepted it, None if it has."""

    async def send() -> DeliveryFailure | None:
        async with _new_client() as client:
            return await _post(client, webhook, *payloads.test_request(webhook, int(time.time())))

    return asyncio.run(send())


async def _post(
    client: httpx.AsyncClient, webhook: Webhook, content: bytes, headers: dict[str, str]
) -> DeliveryFailure | None:
    """Send a request to a webhook, and return why the receiver has not accepted it, None if it has."""
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
    given = retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10
    seconds = float(retry_after) if given else 0.0
    return DeliveryFailure(f"it answered {status} {response.reason_phrase}".rstrip(), status in _REJECTIONS, seconds)


def _new_client() -> httpx.AsyncClient:
    """Return a client that trusts the certificates that the system trusts, and follows no redirects.

    It keeps no connections open, because one may be closed by the time of the next message.
    """
    return httpx.AsyncClient(
        verify=ssl.create_default_context(),
        timeout=_REQUEST_TIMEOUT_S,
        follow_redirects=False,
        limits=httpx.Limits(max_keepalive_connections=0),
    )


def _may_try(receiver: _Receiver, number: int) -> bool:
    return number not in receiver.rejected or receiver.rejected[number].is_over()
