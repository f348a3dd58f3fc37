"""A limit for messages of the service's log that clients can cause."""

import logging
import time
from typing import Final

_INTERVAL_S: Final = 60.0


class RepetitionFilter(logging.Filter):
    """Drops repetitions of a message, and adds their number to the next one that passes.

    Messages are equal if their templates are, whatever their arguments.

    Args:
        per_minute: messages with the same template that pass within a minute.
    """

    def __init__(self, per_minute: int) -> None:
        super().__init__()
        self._per_minute = per_minute
        self._windows: dict[str, tuple[float, int]] = {}  # by template: start in monotonic time, and messages since

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message passes."""
        now = time.monotonic()
        start, count = self._windows.get(record.msg, (now, 0))
        if now - start >= _INTERVAL_S:
            if (dropped := count - self._per_minute) > 0:
                template = record.msg
                record.msg = f"{template} (and {dropped} more such messages before)"
                self._windows[template] = (now, 1)
                return True
            start, count = now, 0
        self._windows[record.msg] = (start, count + 1)
        return count < self._per_minute
