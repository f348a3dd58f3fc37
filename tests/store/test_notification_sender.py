"""Sending to webhooks, with real receivers: what delays none, loses none, and is told where it fails for good."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import select
from support.service import wait_for
from support.webhook_receiver import Delivery, Receiver, receiving

from clusterm.common import clock_steps
from clusterm.enums import NotificationKind
from clusterm.notifications import sender as sender_module
from clusterm.notifications.events import new_message
from clusterm.notifications.sender import NotificationSender
from clusterm.settings import Settings
from clusterm.store import outbox, tables
from clusterm.store.engine import Store


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "_POLL_INTERVAL_S", 0.05)
    monkeypatch.setattr(sender_module, "_FIRST_RETRY_DELAY_S", 0.1)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def webhooks(**urls: str) -> Settings:
    members = [{"name": name, "url": url, "events": ["job_ended", "node_returned"]} for name, url in urls.items()]
    return Settings.model_validate({"notifications": {"webhooks": members, "settle": 0}})


@contextmanager
def sending(store: Store, settings: Callable[[], Settings]) -> Iterator[NotificationSender]:
    sender = NotificationSender(store, settings)
    sender.start()
    try:
        yield sender
    finally:
        sender.stop()


def tell(store: Store, *numbers: int, at: datetime | None = None) -> None:
    """Record that jobs have ended."""
    job = {"desc": "", "status": "Complete", "error": "", "requested_by": "", "seconds": 1.0, "first_failure": None}
    at = at or datetime.now(UTC)
    with store.write() as session:
        ended = NotificationKind.JOB_ENDED
        outbox.add(session, [new_message(ended, at, about={**job, "id": number}) for number in numbers])


def waiting(store: Store) -> list[tables.Notification]:
    with store.read() as session:
        return list(session.exec(select(tables.Notification)).all())


def told(receiver: Receiver) -> list[int]:
    return [delivery.body["job"]["id"] for delivery in receiver.taken]


def test_a_message_outlives_a_step_of_the_clock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: 503
        settings = webhooks(ops=receiver.url)
        with sending(store, lambda: settings):
            tell(store, 1)
            wait_for(lambda: receiver.deliveries, "a try")
            # The clock is set ten days ahead: seen from there, what is stored is ten days older.
            ahead, offset = timedelta(days=10), clock_steps._offset()
            with store.write() as session:
                monkeypatch.setattr(clock_steps, "_offset", lambda: offset + ahead.total_seconds())
                for message in session.exec(select(tables.Notification)):
                    message.due_at -= ahead
            receiver.answer = lambda _: 200
            wait_for(lambda: told(receiver) == [1], "the message")


def test_what_is_due_tomorrow_by_a_clock_that_was_set_back_is_sent_at_once(store: Store) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with receiving() as receiver:
        settings = webhooks(ops=receiver.url)
        with sending(store, lambda: settings):
            tell(store, 1, at=tomorrow)
            tell(store, 2)
            wait_for(lambda: told(receiver) == [1, 2], "both messages")
            node = {"name": "n1", "detail": "", "times": 1, "since": None}
            message = new_message(NotificationKind.NODE_RETURNED, tomorrow, node="n1", about=node)
            with store.write() as session:
                outbox.add(session, [message])
            wait_for(lambda: len(receiver.taken) == 3, "the message about the node")


def test_the_messages_of_a_removed_webhook_go_with_it(store: Store) -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: 503
        settings = webhooks(ops=receiver.url, other=receiver.url)
        with sending(store, lambda: settings):
            tell(store, 1)
            wait_for(lambda: len(waiting(store)) == 2 and len(receiver.deliveries) == 2, "both copies")
            settings = webhooks(other=receiver.url)
            wait_for(lambda: [message.webhook for message in waiting(store)] == ["other"], "one copy to go")
            settings = webhooks()
            wait_for(lambda: not waiting(store), "the last one to go")


def test_rejected_messages_are_read_once_per_try(store: Store) -> None:
    count, loaded = 60, 0

    def note(*_: Any) -> None:
        nonlocal loaded
        loaded += 1

    with receiving() as receiver:
        receiver.answer = lambda delivery: 422 if delivery.body["job"]["id"] <= count else 200
        settings = webhooks(ops=receiver.url)
        event.listen(tables.Notification, "load", note)
        try:
            with sending(store, lambda: settings) as sender:
                tell(store, *range(1, count + 2))
                wait_for(lambda: receiver.taken, "the message after them")
                tries, read = len(receiver.deliveries), loaded
                (problem,) = sender.problems()
                receiver.answer = lambda _: 200
                wait_for(lambda: len(receiver.taken) == count + 1, "them all")
                wait_for(lambda: not sender.problems(), "no problem to be left")
        finally:
            event.remove(tables.Notification, "load", note)
    assert "the webhook ops cannot be notified: it rejects" in problem
    assert problem.endswith("messages: it answered 422 Unprocessable Entity")
    assert read < 5 * tries


def test_names_that_are_looked_up_for_long_delay_neither_a_webhook_nor_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, asked, look_up = threading.Event(), [], socket.getaddrinfo

    def hang(host: Any, *arguments: Any, **options: Any) -> Any:
        if host in {b"localhost", "localhost"} or host[:1] in (b"1", "1"):
            return look_up(host, *arguments, **options)
        asked.append(host)
        answer.wait()
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with receiving() as receiver:
        silent = {f"silent{number}": f"http://silent{number}.example/" for number in range(40)}
        settings = webhooks(**silent, ops=receiver.url.replace("127.0.0.1", "localhost"))
        try:
            with sending(store, lambda: settings):
                tell(store, 1)
                wait_for(lambda: len(asked) == len(silent), "all names to be asked for")
                tell(store, 2)
                began = time.monotonic()
                wait_for(lambda: told(receiver) == [1, 2], "the webhook that can be reached")
            assert time.monotonic() - began < 10
            late = [thread for thread in threading.enumerate() if thread.name == "resolver"]
            assert len(late) == len(silent)
            assert all(thread.daemon for thread in late)
        finally:
            answer.set()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, "it answered 404 Not Found; 1 messages were dropped because they were too old"),
        (422, "1 messages were dropped because they were too old"),
    ],
)
def test_what_fails_for_good_stays_a_problem_until_a_message_is_taken(store: Store, status: int, reason: str) -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: status
        settings = webhooks(ops=receiver.url)
        with sending(store, lambda: settings) as sender:
            tell(store, 1)
            wait_for(sender.problems, "a try")
            with store.write() as session:
                for message in session.exec(select(tables.Notification)):
                    message.due_at -= timedelta(days=10)
            expected = [f"the webhook ops cannot be notified: {reason}"]
            wait_for(lambda: sender.problems() == expected, "the message to be dropped")
            assert not waiting(store)
            receiver.answer = lambda _: 200
            tell(store, 2)
            wait_for(lambda: told(receiver) == [2], "the next message")
            wait_for(lambda: not sender.problems(), "the problem to end")


def test_a_proxy_that_cannot_be_used_is_told_before_the_first_message(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/99")
    settings = webhooks(ops="http://example.org/")
    reason = "the webhook ops cannot be notified: ALL_PROXY names a socks5 proxy, and only http and https ones can be"
    with sending(store, lambda: settings) as sender:
        (problem,) = sender.problems()
    assert problem.startswith(reason)
    assert reason in caplog.text
    assert "NO_PROXY has entries that are no networks: 10.0.0.0/99" in caplog.text


def test_a_proxy_is_used_but_for_exempt_receivers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def passed(delivery: Delivery) -> int:
        return 200 if delivery.path == "http://webhook.example/hook" else 400

    with receiving() as receiver, receiving() as proxy:
        proxy.answer = passed
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/hook"))
        monkeypatch.setenv("NO_PROXY", "localhost,[::1],127.0.0.0/8,fe80::/10")
        settings = webhooks(near=receiver.url, far="http://webhook.example/hook")
        with sending(store, lambda: settings):
            tell(store, 1)
            wait_for(lambda: receiver.taken and proxy.taken, "both")
        assert (len(receiver.deliveries), len(proxy.deliveries)) == (1, 1)


def test_one_message_that_cannot_be_written_as_a_request_lets_others_pass(store: Store) -> None:
    with receiving() as receiver:
        settings = webhooks(ops=receiver.url)
        with sending(store, lambda: settings) as sender:
            with store.write() as session:
                outbox.add(session, [new_message(NotificationKind.JOB_ENDED, datetime.now(UTC), about={})])
            tell(store, 1)
            wait_for(lambda: told(receiver) == [1], "the second message")
            assert "it rejects 1 messages: internal error" in str(sender.problems())
