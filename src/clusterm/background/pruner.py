"""Deletes jobs that exceed the retention settings, while the service runs."""

import logging
from collections.abc import Callable
from typing import Final

from clusterm.common.background_task import PeriodicTask
from clusterm.common.service_log import JobLogger
from clusterm.settings import RetentionSettings
from clusterm.store import retention
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

    def run(self) -> None:
        """Delete the jobs that exceed the settings, and return their space to the disk."""
        with self._store.read() as session:
            found = retention.surplus(session, self._settings())
        for job in found:
            if self.is_stopping:
                return
            with self.isolated(f"job {job.job_id}"):
                self._delete(job)
        if found:
            self._store.reclaim_space()

    def _delete(self, job: retention.Surplus) -> None:
        if retention.delete_job(self._store, job.job_id):
            JobLogger(log, job.job_id, job.action, job.nodes, job.trace_id).info("no longer kept: %s", job.reason)
