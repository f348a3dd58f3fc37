"""Deletes jobs and events that exceed the retention settings, while the service runs."""

import logging
from collections.abc import Callable
from typing import Final

from clusterm.common.background_task import PeriodicTask
from clusterm.common.service_log import JobLogger
from clusterm.settings import RetentionSettings
from clusterm.store import events, retention
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError

log = logging.getLogger(__name__)

_INTERVAL_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 1.0


class Pruner(PeriodicTask):
    """Deletes jobs in a thread of its own, because a large log takes a while.

    A stop interrupts it after the job that is being deleted; the next service deletes the others.

    Args:
        store: the store.
        settings: returns the present retention settings.
    """

    def __init__(self, store: Store, settings: Callable[[], RetentionSettings]) -> None:
        super().__init__(
            "pruner",
            _INTERVAL_S,
            initial_delay=_INTERVAL_S,
            stop_timeout=_STOP_TIMEOUT_S,
            expected=(OSError, StoreError),
        )
        self._store = store
        self._settings = settings
        self._last_event = 0

    def run(self) -> None:
        """Delete what exceeds the settings, and return the space of jobs to the disk."""
        settings = self._settings()
        with self.isolated("events"):
            self._prune_events(settings)
        with self._store.read() as session:
            found = retention.surplus(session, settings)
        for job in found:
            if self.is_stopping:
                return
            with self.isolated(f"job {job.job_id}"):
                self._delete(job)
        if found:
            self._store.reclaim_space()

    def _prune_events(self, settings: RetentionSettings) -> None:
        """Delete events, when there are enough new ones to be worth the search."""
        with self._store.read() as session:
            last = events.last_id(session)
        if last - self._last_event > min(settings.timeline_bounds.values()) // 100:
            retention.prune_events(self._store, settings)
            self._last_event = last

    def _delete(self, job: retention.Surplus) -> None:
        if retention.delete_job(self._store, job.job_id):
            JobLogger(log, job.job_id, job.action, job.nodes, job.trace_id).info("no longer kept: %s", job.reason)
