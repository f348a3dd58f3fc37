"""Read logs in chunks, and wait for new lines of running jobs."""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from anyio import CapacityLimiter, to_thread

from clusterm.logs.formats import TEXT, LogEncoding
from clusterm.schemas import LogEnd
from clusterm.store import job_views, log_reader
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.log_lines import Row
from clusterm.store.log_query import LogQuery

_POLL_INTERVAL_S: Final = 0.1  # seconds after which to look again if the executor has not called
_READERS: Final = 4  # threads that read logs; the other threads stay available for other requests
_KEEPALIVE_INTERVAL_S: Final = 15.0  # seconds without new lines after which a follower gets an empty chunk


@dataclass(frozen=True)
class Position:
    """A position in a log, with the query and encoding of the lines to read from there."""

    job_id: int
    start: int
    query: LogQuery
    encoding: LogEncoding


@dataclass(frozen=True)
class Chunk:
    """Encoded lines of a log."""

    data: bytes = b""
    first: Row | None = None
    last: Row | None = None
    next: int = 0
    """Number of the line to continue from."""
    live: bool = False
    """Whether all lines that are stored so far have been read."""
    end: LogEnd | None = None
    """The end record, if no lines follow."""
    calls: int = 0
    """Number of calls of executors before the lines were read."""


class LogFollower:
    """Reads logs for followers. Followers at the same position share one read and its bytes.

    A follower that stops reading holds one chunk in its own connection and does not delay other followers.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reads: dict[Position, asyncio.Task[Chunk | None]] = {}
        self._readers = CapacityLimiter(_READERS)
        self._stopping = asyncio.Event()
        self._calls = 0
        self._waiting: dict[int, set[asyncio.Event]] = {}

    async def read(self, position: Position, *, live: bool, calls: int = 0) -> Chunk | None:
        """Return the next chunk: lines, the end, or empty after the keepalive interval; None if the service stops.

        Args:
            position: the position to read from.
            live: whether the previous chunk was live; the read then first waits for a call of the executor or the poll
                interval.
            calls: of the previous chunk.
        """
        task = self._reads.get(position)
        if task is None:
            task = self._reads[position] = asyncio.create_task(self._next(position, calls, live=live))
            task.add_done_callback(partial(self._forget, position))
        return await asyncio.shield(task)

    def stop(self) -> None:
        """Disconnect all followers because the service stops."""
        self._stopping.set()
        self.wake(list(self._waiting))

    def wake(self, jobs: Iterable[int]) -> None:
        """Let the followers of jobs look at once, because their executors have stored something."""
        self._calls += 1
        for job in jobs:
            for waiting in self._waiting.pop(job, ()):
                waiting.set()

    def _forget(self, position: Position, task: asyncio.Task[Chunk | None]) -> None:
        """Keep a chunk with lines for followers that are a poll interval behind; drop an empty or failed read."""
        keep = not task.cancelled() and task.exception() is None and (chunk := task.result()) and chunk.data
        if keep:
            asyncio.get_running_loop().call_later(_POLL_INTERVAL_S, self._reads.pop, position)
        else:
            del self._reads[position]

    async def _next(self, position: Position, calls: int, *, live: bool) -> Chunk | None:
        loop = asyncio.get_running_loop()
        start, until = position.start, loop.time() + _KEEPALIVE_INTERVAL_S
        while not self._stopping.is_set():
            if live:
                await self._wait(position.job_id, calls)
            calls = self._calls
            chunk = await to_thread.run_sync(self._read, position, start, limiter=self._readers)
            if chunk.data or chunk.end or loop.time() > until:
                return replace(chunk, calls=calls)
            start, live = chunk.next, chunk.live
        return None

    async def stops_within(self, seconds: float) -> bool:
        """Wait, and return whether the service stops meanwhile."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _wait(self, job: int, calls: int) -> None:
        """Wait until the executor of a job calls, at most for the poll interval; not if any has since `calls`."""
        if self._calls != calls or self._stopping.is_set():
            return
        called = asyncio.Event()
        others = self._waiting.setdefault(job, set())
        others.add(called)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(called.wait(), _POLL_INTERVAL_S)
        others.discard(called)
        if not others and self._waiting.get(job) is others:
            del self._waiting[job]

    def _read(self, position: Position, start: int) -> Chunk:
        wanted = position.query
        with self._store.read() as session:
            job = job_queries.get(session, position.job_id)
            rows, following, exhausted = log_reader.read(session, job, wanted, start, as_text=position.encoding is TEXT)
            complete = job_queries.has_ended(job) or (wanted.last is not None and following > wanted.last)
            over = exhausted and (complete or not wanted.follow)
            end = job_views.log_end(job) if over else None
        return Chunk(
            data=position.encoding.encode(rows),
            first=rows[0] if rows else None,
            last=rows[-1] if rows else None,
            next=following,
            live=exhausted and not over,
            end=end,
        )
