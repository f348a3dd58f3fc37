"""Records when tokens were used and that they have expired, and logs rejected requests without flooding the log."""

import logging
import threading
from collections import Counter
from datetime import UTC, datetime
from typing import Final

from clusterm.common import service_log
from clusterm.common.background_task import PeriodicTask
from clusterm.errors import AccessDenied
from clusterm.store import tokens as token_queries
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError

log = logging.getLogger(__name__)

_INTERVAL_S: Final = 60.0
"""Seconds between writes, and in which equal rejections of one client make at most two log lines."""

_STOP_TIMEOUT_S: Final = 1.0

_MAX_LOGGED_REJECTIONS: Final = 100
"""Pairs of client and reason that are counted separately per interval; further ones are counted together."""


class UsageRecorder(PeriodicTask):
    """Collects uses and rejections in memory, and writes them once per interval and at the end.

    Args:
        store: the store.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(
            "usage_recorder",
            _INTERVAL_S,
            initial_delay=_INTERVAL_S,
            stop_timeout=_STOP_TIMEOUT_S,
            expected=(OSError, StoreError),
        )
        self._store = store
        self._lock = threading.Lock()
        self._uses: dict[int, datetime] = {}  # by token
        self._rejections: Counter[tuple[str, str]] = Counter()  # by client and reason

    def record_use(self, token_id: int) -> None:
        """Record that a token is used now."""
        with self._lock:
            self._uses[token_id] = datetime.now(UTC)

    def log_rejection(self, rejection: AccessDenied, request: str, client: str) -> None:
        """Log a rejected request, unless the interval had one with the same client and reason: then count it.

        Args:
            rejection: why the request is rejected.
            request: method and path.
            client: address of the client.
        """
        key = (client, str(rejection))
        with self._lock:
            if key not in self._rejections and len(self._rejections) >= _MAX_LOGGED_REJECTIONS:
                key = ("others", "various reasons")
            self._rejections[key] += 1
            is_first = self._rejections[key] == 1
        if is_first:
            code = rejection.code
            fields = service_log.log_fields(status=int(code.status), code=str(code), sender=client)
            log.warning("%s from %s was rejected: %s", request, client, rejection, extra=fields)

    def run(self) -> None:
        """Log the number of repeated rejections, and store the uses of tokens and which ones have expired."""
        with self._lock:
            rejections, self._rejections = self._rejections, Counter()
            uses, self._uses = self._uses, {}
        for (client, reason), times in rejections.items():
            if times > 1:
                log.warning("%d requests from %s were rejected within a minute: %s", times, client, reason)
        try:
            self._store_changes(uses)
        except StoreError:
            with self._lock:
                self._uses = uses | self._uses  # for the next run
            raise

    def close(self) -> None:
        """Write what was collected since the last run."""
        with self.recorded():
            self.run()

    def _store_changes(self, uses: dict[int, datetime]) -> None:
        now = datetime.now(UTC)
        with self._store.read() as session:
            expired = token_queries.newly_expired(session, now)
        if uses or expired:
            with self._store.write() as session:
                token_queries.record_uses(session, uses)
                token_queries.end(session, expired, now)
