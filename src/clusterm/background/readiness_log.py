"""Logs when the service becomes ready or unready, and why, because no client may be asking at that time."""

import logging
from collections.abc import Callable
from typing import Final

from clusterm.common.background_task import PeriodicTask
from clusterm.observability import health
from clusterm.schemas import HealthCheck
from clusterm.store.errors import StoreError

log = logging.getLogger(__name__)

_INTERVAL_S: Final = 10.0
_STOP_TIMEOUT_S: Final = 1.0


class ReadinessLog(PeriodicTask):
    """Runs the health checks, and logs a change of their result.

    Args:
        check: runs the health checks.
    """

    def __init__(self, check: Callable[[], dict[str, HealthCheck]]) -> None:
        super().__init__(
            "readiness_log",
            _INTERVAL_S,
            initial_delay=_INTERVAL_S,
            stop_timeout=_STOP_TIMEOUT_S,
            expected=(OSError, StoreError),
        )
        self._check = check
        self._problems = ""

    def run(self) -> None:
        """Compare the result with the last one."""
        problems = "; ".join(health.reasons(self._check(), needed=True))
        if problems == self._problems:
            return
        if problems:
            log.warning("the service is not ready: %s", problems)
        else:
            log.info("the service is ready again")
        self._problems = problems
