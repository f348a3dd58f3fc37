"""Measures how long something took although several processes saw it, by the monotonic clock, which is never set."""

import time
from datetime import UTC, datetime
from pathlib import Path


def boot_id() -> str:
    """Return the id of the machine's present boot (Linux, random(4)), in which monotonic times can be compared."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def seconds_since(at: datetime, boot: str | None, clock: float | None) -> float:
    """Return the seconds since a moment.

    Args:
        at: the moment by the wall clock, which counts only if the machine was booted since, or nothing else is known.
        boot: id of the boot in which it was.
        clock: the moment by the monotonic clock, in seconds.
    """
    if clock is not None and boot == boot_id():
        return time.monotonic() - clock
    return max((datetime.now(UTC) - at).total_seconds(), 0.0)  # the wall clock may have been set back
