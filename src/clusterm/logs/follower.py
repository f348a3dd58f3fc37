"""Reads logs for those who want them, also the ends of logs that are being written."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

from anyio import CapacityLimiter, to_thread

from clusterm.logs.formats import TEXT, Form
from clusterm.schemas import LogEnd
from clusterm.store import job_views, log_reader
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.log_lines import Row
from clusterm.store.log_query import Selection

_POLL: Final = 0.1  # seconds
_READERS: Final = 4  # threads; the others are for those who want less than a log
_SILENCE: Final = 15.0  # seconds after which a follower hears that there is nothing new


@dataclass(frozen=True)
class Place:
    """Where somebody is in a log, and what is wanted from there on."""

    job_id: int
    start: int
    selection: Selection
    form: Form


@dataclass(frozen=True)
class Piece:
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


class Tail:
    """Reads logs for their followers. Those in one place share the wait for what is next, and the bytes of it.

    A follower that stops reading waits in its own connection, with one piece in its hands; nobody waits for it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reads: dict[Place, asyncio.Task[Piece | None]] = {}
        self._readers = CapacityLimiter(_READERS)
        self._stopping = asyncio.Event()

    async def read(self, place: Place, *, live: bool) -> Piece | None:
        """Return what is next in a place: lines, the end, or after a long silence nothing; None if the service stops.

        Args:
            place: where.
            live: whether the one who asks has all that there was a moment ago, and so waits a moment for more.
        """
        task = self._reads.get(place)
        if task is None:
            task = self._reads[place] = asyncio.create_task(self._next(place, live=live))
            task.add_done_callback(partial(self._forget, place))
        return await asyncio.shield(task)

    def stop(self) -> None:
        """Let all followers go: the service stops."""
        self._stopping.set()

    def _forget(self, place: Place, task: asyncio.Task[Piece | None]) -> None:
        """Keep what was read for those who are a moment late; not nothing, after which they come back to this place."""
        keep = not task.cancelled() and task.exception() is None and (piece := task.result()) and piece.data
        if keep:
            asyncio.get_running_loop().call_later(_POLL, self._reads.pop, place)
        else:
            del self._reads[place]

    async def _next(self, place: Place, *, live: bool) -> Piece | None:
        loop = asyncio.get_running_loop()
        start, until = place.start, loop.time() + _SILENCE
        while not self._stopping.is_set():
            if live and await self._stops():
                break
            piece = await to_thread.run_sync(self._read, place, start, limiter=self._readers)
            if piece.data or piece.end or loop.time() > until:
                return piece
            start, live = piece.next, piece.live
        return None

    async def _stops(self) -> bool:
        """Wait a moment, and tell whether the service stops meanwhile."""
        try:
            await asyncio.wait_for(self._stopping.wait(), _POLL)
        except TimeoutError:
            return False
        return True

    def _read(self, place: Place, start: int) -> Piece:
        wanted = place.selection
        with self._store.read() as session:
            job = job_queries.get(session, place.job_id)
            rows, following, exhausted = log_reader.read(session, job, wanted, start, as_text=place.form is TEXT)
            complete = job_queries.has_ended(job) or (wanted.last is not None and following > wanted.last)
            over = exhausted and (complete or not wanted.follow)
            end = job_views.log_end(job) if over else None
        return Piece(
            data=place.form.encode(rows),
            first=rows[0] if rows else None,
            last=rows[-1] if rows else None,
            next=following,
            live=exhausted and not over,
            end=end,
        )
