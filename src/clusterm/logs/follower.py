"""Reads logs for those who want them, also the ends of logs that are being written."""

import asyncio
from dataclasses import dataclass
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

_POLL_INTERVAL_S: Final = 0.1  # seconds
_READERS: Final = 4  # threads; the others are for those who want less than a log
_KEEPALIVE_INTERVAL_S: Final = 15.0  # seconds after which a follower hears that there is nothing new


@dataclass(frozen=True)
class Position:
    """Where somebody is in a log, and what is wanted from there on."""

    job_id: int
    start: int
    query: LogQuery
    encoding: LogEncoding


@dataclass(frozen=True)
class Chunk:
    """Some lines of a log, as they go over the wire."""

    data: bytes = b""
    first: Row | None = None
    last: Row | None = None
    next: int = 0
    """The number of the line to go on from."""
    live: bool = False
    """There is no more of them yet."""
    end: LogEnd | None = None
    """There will be no more of them."""


class LogFollower:
    """Reads logs for their followers. Those in one place share the wait for what is next, and the bytes of it.

    A follower that stops reading waits in its own connection, with one piece in its hands; nobody waits for it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reads: dict[Position, asyncio.Task[Chunk | None]] = {}
        self._readers = CapacityLimiter(_READERS)
        self._stopping = asyncio.Event()

    async def read(self, position: Position, *, live: bool) -> Chunk | None:
        """Return what is next in a place: lines, the end, or after a long silence nothing; None if the service stops.

        Args:
            position: where.
            live: whether the one who asks has all that there was a moment ago, and so waits a moment for more.
        """
        task = self._reads.get(position)
        if task is None:
            task = self._reads[position] = asyncio.create_task(self._next(position, live=live))
            task.add_done_callback(partial(self._forget, position))
        return await asyncio.shield(task)

    def stop(self) -> None:
        """Let all followers go: the service stops."""
        self._stopping.set()

    def _forget(self, position: Position, task: asyncio.Task[Chunk | None]) -> None:
        """Keep what was read for those who are a moment late; not nothing, after which they come back to this place."""
        keep = not task.cancelled() and task.exception() is None and (chunk := task.result()) and chunk.data
        if keep:
            asyncio.get_running_loop().call_later(_POLL_INTERVAL_S, self._reads.pop, position)
        else:
            del self._reads[position]

    async def _next(self, position: Position, *, live: bool) -> Chunk | None:
        loop = asyncio.get_running_loop()
        start, until = position.start, loop.time() + _KEEPALIVE_INTERVAL_S
        while not self._stopping.is_set():
            if live and await self._stops():
                break
            chunk = await to_thread.run_sync(self._read, position, start, limiter=self._readers)
            if chunk.data or chunk.end or loop.time() > until:
                return chunk
            start, live = chunk.next, chunk.live
        return None

    async def _stops(self) -> bool:
        """Wait a moment, and tell whether the service stops meanwhile."""
        try:
            await asyncio.wait_for(self._stopping.wait(), _POLL_INTERVAL_S)
        except TimeoutError:
            return False
        return True

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
