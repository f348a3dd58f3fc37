"""Notices that the wall clock was set, as by a first synchronization after a boot or by hand."""

import time
from datetime import timedelta
from typing import Final

_MIN_STEP_S: Final = 5.0
"""Smaller differences are corrections of the clock's rate, or the time between its two readings."""


class ClockSteps:
    """Compares the wall clock with the time since boot, which is never set and which continues during a suspend."""

    def __init__(self) -> None:
        self._offset = _offset()

    def since_last(self) -> timedelta:
        """Return by how much the wall clock was set forward since the last call; negative if it was set back."""
        before, self._offset = self._offset, _offset()
        step = self._offset - before
        return timedelta(seconds=step) if abs(step) >= _MIN_STEP_S else timedelta()


def _offset() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
