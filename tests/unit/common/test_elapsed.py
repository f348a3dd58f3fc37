"""Durations by the monotonic clock."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from clusterm.common.elapsed import boot_id, seconds_since

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("step", [-HOUR, HOUR], ids=["set back", "set forward"])
def test_setting_the_clock_changes_no_duration(step: timedelta) -> None:
    assert 5 <= seconds_since(datetime.now(UTC) - step, boot_id(), time.monotonic() - 5) < 6


@pytest.mark.parametrize(("boot", "clock"), [("another", 3.0), (None, None), (boot_id(), None)])
def test_the_wall_clock_counts_after_a_reboot(boot: str | None, clock: float | None) -> None:
    assert 3600 <= seconds_since(datetime.now(UTC) - HOUR, boot, clock) < 3601
    assert seconds_since(datetime.now(UTC) + HOUR, boot, clock) == 0, "it may have been set back"
