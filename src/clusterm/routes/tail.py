"""The ends of logs that are being written, for everybody who follows them."""

import asyncio
from dataclasses import dataclass
from typing import Final

from anyio import to_thread

from clusterm.store import jobs, logs
from clusterm.store.engine import Store
from clusterm.store.logs import Row

_POLL: Final = 0.1  # seconds
_BATCH: Final = 2000  # lines


@dataclass(frozen=True)
class Piece:
    """Some lines of a log, and whether they are its last."""

    rows: list[Row]
    complete: bool


class Tail:
    """Reads logs for their followers. Those at the same line of the same job share one read of the store.

    A follower that stops reading waits in its own connection; nobody waits for it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reads: dict[tuple[int, int], asyncio.Task[Piece]] = {}
        self._stopping = asyncio.Event()

    async def read(self, job_id: int, start: int) -> Piece:
        """Return the stored lines of a job from a number on, as many as one read takes."""
        key = (job_id, start)
        task = self._reads.get(key)
        if task is None:
            task = asyncio.create_task(to_thread.run_sync(self._read, job_id, start))
            self._reads[key] = task
            task.add_done_callback(lambda _: asyncio.get_running_loop().call_later(_POLL, self._reads.pop, key))
        return await asyncio.shield(task)

    async def pause(self) -> bool:
        """Wait until there may be more, and tell whether the service goes on."""
        try:
            await asyncio.wait_for(self._stopping.wait(), _POLL)
        except TimeoutError:
            return True
        return False

    def stop(self) -> None:
        """Let all followers go: the service stops."""
        self._stopping.set()

    def _read(self, job_id: int, start: int) -> Piece:
        with self._store.read() as session:
            complete = jobs.has_ended(jobs.get(session, job_id))
            rows = list(logs.read(session, job_id, start=start, limit=_BATCH))
        return Piece(rows, complete and len(rows) < _BATCH)
