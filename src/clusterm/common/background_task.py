"""Background tasks: threads that run a piece of work periodically, survive its failures and record its runs."""

import asyncio
import contextlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from clusterm.common.name_lookup import NameLookupLoop
from clusterm.errors import NoThread

log = logging.getLogger(__name__)

_WHOLE_RUN: Final = ""
"""Stands for the run itself where failures are recorded by item."""

_MAX_SHOWN_ERRORS: Final = 3
"""Failed items of one run that its error text names."""


@dataclass(frozen=True)
class TaskStatus:
    """The runs of a background task since the service started. Times are in UTC.

    Attributes:
        name: name of the task.
        runs: number of runs that have ended.
        failures: number of runs that have failed, as a whole or for one of their items.
        last_run: start of the last run; None before the first has ended.
        last_duration: seconds that the last run took.
        last_success: end of the last run without a failure.
        last_error: error of the last run that failed.
        last_error_at: end of that run.
        failing_since: monotonic time at the end of the first of the failed runs since the last success, in seconds;
            None if the last run succeeded.
    """

    name: str
    runs: int = 0
    failures: int = 0
    last_run: datetime | None = None
    last_duration: float | None = None
    last_success: datetime | None = None
    last_error: str | None = None
    last_error_at: datetime | None = None
    failing_since: float | None = None


class RunRecorder:
    """Records the runs of one task and logs their failures. An error that repeats is logged once.

    Args:
        name: name of the task.
        expected: errors that are conditions of the environment, logged without a traceback. Others are defects.

    Attributes:
        status: the runs so far; replaced as a whole, so that other threads may read it at any time.
    """

    def __init__(self, name: str, expected: tuple[type[Exception], ...]) -> None:
        self.status = TaskStatus(name)
        self._expected = expected
        self._errors: dict[str, Exception] = {}  # of the present run, by item
        self._logged: dict[str, str] = {}  # errors of the run before, by item

    @contextmanager
    def run(self) -> Iterator[None]:
        """Record a run. Its exceptions end here."""
        started_at, started = datetime.now(UTC), time.monotonic()
        self._errors = {}
        with self.isolated(_WHOLE_RUN):
            yield
        self._log()
        self._update(started_at, time.monotonic() - started)

    @contextmanager
    def isolated(self, item: str) -> Iterator[None]:
        """Record a failure of one item of a run. Its exceptions end here: the run fails, but serves its other items."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- one defect must not end the task
            self._errors[item] = error

    def _update(self, started_at: datetime, duration: float) -> None:
        before, now = self.status, datetime.now(UTC)
        status = replace(before, runs=before.runs + 1, last_run=started_at, last_duration=duration)
        if self._errors:
            error = _summary(self._errors)
            since = time.monotonic() if before.failing_since is None else before.failing_since
            self.status = replace(
                status, failures=before.failures + 1, last_error=error, last_error_at=now, failing_since=since
            )
        else:
            self.status = replace(status, last_success=now, failing_since=None)

    def _log(self) -> None:
        name = self.status.name
        for item, error in self._errors.items():
            if self._logged.get(item) == repr(error):
                continue
            subject = f"{name} failed for {item}" if item else f"{name} failed"
            if isinstance(error, self._expected):
                log.error("background task %s, retrying: %s", subject, error)
            else:
                log.error("background task %s, retrying. Please report this", subject, exc_info=error)
        if self._logged and not self._errors:
            log.info("background task %s succeeded again", name)
        self._logged = {item: repr(error) for item, error in self._errors.items()}


class BackgroundTask(ABC):
    """A thread of the service that does its work periodically and whenever it is woken, until it is stopped.

    Args:
        name: name of the task and of its thread.
        interval: seconds between the end of a run and the start of the next one; None to run only when woken.
        initial_delay: seconds before the first run; None to wait until woken.
        stop_timeout: seconds that `stop` waits for the present run; None waits until it has ended.
        expected: errors that are conditions of the environment, logged without a traceback.
    """

    def __init__(
        self,
        name: str,
        interval: float | None,
        *,
        initial_delay: float | None = 0.0,
        stop_timeout: float | None = None,
        expected: tuple[type[Exception], ...] = (OSError,),
    ) -> None:
        self._interval = interval
        self._initial_delay = initial_delay
        self._stop_timeout = stop_timeout
        self._recorder = RunRecorder(name, expected)
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    @property
    def status(self) -> TaskStatus:
        """The runs so far."""
        return self._recorder.status

    @property
    def is_stopping(self) -> bool:
        """Whether the task is to stop. A long run checks this between its items."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Start the thread.

        Raises:
            NoThread: no thread can be started.
        """
        try:
            self._thread.start()
        except RuntimeError as error:
            raise NoThread(f"the background task {self.status.name} cannot be started", error) from error

    def wake(self) -> None:
        """Start the next run now, or directly after the present one. Any thread may call this."""
        self._woken.set()

    def stop(self) -> None:
        """Stop after the present run."""
        self._stopping.set()
        self.wake()
        self._thread.join(self._stop_timeout)

    def isolated(self, item: str) -> AbstractContextManager[None]:
        """Return a context for one item of a run: if the item fails, the run fails but serves its other items.

        Args:
            item: name of the item for the log, such as "job 7".
        """
        return self._recorder.isolated(item)

    def recorded(self) -> AbstractContextManager[None]:
        """Return a context that records its body as a run, and in which exceptions end."""
        return self._recorder.run()

    @abstractmethod
    def _main(self) -> None:
        """Run until stopped; the body of the thread."""


class PeriodicTask(BackgroundTask):
    """A background task whose run is a function."""

    @abstractmethod
    def run(self) -> None:
        """Do the work once."""

    def close(self) -> None:
        """Finish in the task's thread, after the last run."""

    def _main(self) -> None:
        self._pause(self._initial_delay)
        while not self.is_stopping:
            with self.recorded():
                self.run()
            self._pause(self._interval)
        self.close()

    def _pause(self, seconds: float | None) -> None:
        self._woken.wait(seconds)
        self._woken.clear()


class AsyncPeriodicTask(BackgroundTask):
    """A background task whose run is a coroutine.

    Its event loop is apart from that of the API, so neither delays the other; its end waits for no name lookup. A run
    may leave asyncio tasks behind; they continue between runs.
    """

    _loop: asyncio.AbstractEventLoop | None = None
    _woken_in_loop: asyncio.Event

    @abstractmethod
    async def run(self) -> None:
        """Do the work once."""

    async def close(self) -> None:
        """Finish in the task's event loop, after the last run. asyncio tasks that are left are cancelled after that."""

    def wake(self) -> None:
        """Start the next run now, or directly after the present one. Any thread may call this."""
        super().wake()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(self._woken_in_loop.set)

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=NameLookupLoop) as runner:
            runner.run(self._run_until_stopped())

    async def _run_until_stopped(self) -> None:
        self._woken_in_loop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if self._woken.is_set():  # before the loop could be reached
            self._woken_in_loop.set()
        await self._pause(self._initial_delay)
        while not self.is_stopping:
            with self.recorded():
                await self.run()
            await self._pause(self._interval)
        await self.close()

    async def _pause(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken_in_loop.wait()
        self._woken_in_loop.clear()


def _summary(errors: Mapping[str, Exception]) -> str:
    """Return the errors of a run in one line."""
    texts = [f"{item}: {_text(error)}" if item else _text(error) for item, error in errors.items()]
    more = len(texts) - _MAX_SHOWN_ERRORS
    return "; ".join(texts[:_MAX_SHOWN_ERRORS]) + (f"; and {more} more" if more > 0 else "")


def _text(error: Exception) -> str:
    """Return the first line of an error."""
    return str(error).partition("\n")[0] or type(error).__name__
