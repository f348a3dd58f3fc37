"""Deletes what need not be kept any more, now and then while the service runs."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from clusterm.common.service_log import JobLogger
from clusterm.settings import RetentionSettings
from clusterm.store import retention
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError

log = logging.getLogger(__name__)

_INTERVAL_S: Final = 60.0  # seconds


class Pruner:
    """A thread of its own, since a large log takes a while to go.

    Args:
        store: the store.
        settings: returns how much to keep, as it is now.
    """

    def __init__(self, store: Store, settings: Callable[[], RetentionSettings]) -> None:
        self._store = store
        self._settings = settings
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pruner", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the job that is being deleted; the next service goes on with the others."""
        self._stopping.set()
        self._thread.join(timeout=1)

    def _run(self) -> None:
        while not self._stopping.wait(_INTERVAL_S):
            try:
                for job in retention.prune(self._store, self._settings()):
                    JobLogger(log, job.job_id, job.action, job.nodes).info("no longer kept: %s", job.reason)
                    if self._stopping.is_set():
                        return
            except StoreError as error:
                log.error("cannot delete old jobs, trying again: %s", error)  # noqa: TRY400
