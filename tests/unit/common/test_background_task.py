"""Background tasks run periodically and on demand, survive failures, log each once, and record their runs."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from support.service import WAIT_TIMEOUT_S, wait_for

from clusterm.common.background_task import AsyncPeriodicTask, BackgroundTask, PeriodicTask

HOUR = 3600.0


class Sync(PeriodicTask):
    """A task whose work a test gives."""

    def __init__(self, work: Callable[[BackgroundTask], None], interval: float = 0.001) -> None:
        super().__init__("worker", interval)
        self.work = work
        self.closed_by = ""

    def run(self) -> None:
        self.work(self)

    def close(self) -> None:
        self.closed_by = threading.current_thread().name


class Async(AsyncPeriodicTask):
    """The same with an event loop."""

    def __init__(self, work: Callable[[BackgroundTask], None], interval: float = 0.001) -> None:
        super().__init__("worker", interval)
        self.work = work
        self.closed_by = ""

    async def run(self) -> None:
        await asyncio.sleep(0)
        self.work(self)

    async def close(self) -> None:
        self.closed_by = threading.current_thread().name


Kind = type[Sync] | type[Async]


@pytest.fixture(params=[Sync, Async])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(autouse=True)
def _log_all(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO):
        yield


def run(task: BackgroundTask, times: int) -> None:
    """Run a task until it has run so often."""
    task.start()
    wait_for(lambda: task.status.runs >= times, "the runs")
    task.stop()


def test_runs_are_recorded(kind: Kind) -> None:
    before = datetime.now(UTC)
    task = kind(lambda _: None)
    assert (task.status.runs, task.status.last_run, task.status.last_success) == (0, None, None)
    run(task, 2)
    status = task.status
    assert (status.name, status.failures, status.last_error, status.last_error_at) == ("worker", 0, None, None)
    assert status.last_run is not None
    assert status.last_success is not None
    assert before <= status.last_run <= status.last_success <= datetime.now(UTC)
    assert status.last_duration is not None
    assert 0 <= status.last_duration < WAIT_TIMEOUT_S
    assert task.closed_by == "worker", "it is closed in its own thread"
    runs = status.runs
    assert task.status.runs == runs, "it has stopped"


def test_a_failure_is_survived_and_logged_once_until_it_changes(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Exception | None] = [ValueError("first"), ValueError("first"), OSError("second"), OSError("second")]

    def fail(_: object) -> None:
        error = errors.pop(0) if errors else None
        if error:
            raise error

    task = kind(fail)
    run(task, 5)
    status = task.status
    assert status.failures == 4
    assert status.last_error == "second"
    assert status.last_error_at is not None
    assert status.last_success is not None
    assert status.last_error_at <= status.last_success
    assert [(record.message, record.exc_info is not None) for record in caplog.records] == [
        ("background task worker failed, retrying. Please report this", True),
        ("background task worker failed, retrying: second", False),
        ("background task worker succeeded again", False),
    ]


def test_a_failed_item_does_not_affect_the_others(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    served: list[int] = []

    def serve(task: BackgroundTask) -> None:
        for number in range(6):
            with task.isolated(f"item {number}"):
                if number != 5:
                    raise OSError(f"no {number}")
                served.append(number)

    task = kind(serve)
    run(task, 3)
    assert len(served) == task.status.runs == task.status.failures
    assert task.status.last_success is None
    assert task.status.last_error == "item 0: no 0; item 1: no 1; item 2: no 2; and 2 more"
    assert caplog.messages == [
        f"background task worker failed for item {number}, retrying: no {number}" for number in range(5)
    ]


def test_it_runs_at_once_when_it_is_woken(kind: Kind) -> None:
    task = kind(lambda _: None, interval=HOUR)
    task.wake()  # too early, and without harm
    task.start()
    wait_for(lambda: task.status.runs, "the first run")
    before = task.status.runs
    task.wake()
    wait_for(lambda: task.status.runs > before, "the run after it was woken")
    task.stop()
    task.wake()  # too late, and without harm


def test_a_wake_during_a_run_leads_to_another_run(kind: Kind) -> None:
    def work(task: BackgroundTask) -> None:
        if task.status.runs < 3:
            task.wake()

    task = kind(work, interval=HOUR)
    run(task, 4)
    assert task.status.runs == 4


def test_a_stop_does_not_wait_longer_than_its_timeout() -> None:
    ended = threading.Event()

    class Slow(PeriodicTask):
        def run(self) -> None:
            ended.wait()

    task = Slow("slow", HOUR, stop_timeout=0.01)
    task.start()
    task.stop()
    assert task.is_stopping
    ended.set()
