"""Steps of the wall clock are told apart from its passing."""

import time
from datetime import timedelta

import pytest

from clusterm.common.clock_steps import ClockSteps


def test_steps_are_reported_once_and_corrections_of_the_rate_never(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, since_boot = 1_800_000_000.0, 50.0
    monkeypatch.setattr(time, "time", lambda: wall)
    monkeypatch.setattr(time, "clock_gettime", lambda _: since_boot)
    steps = ClockSteps()
    wall, since_boot = wall + 60, since_boot + 60
    assert steps.since_last() == timedelta()
    for _ in range(20):
        wall, since_boot = wall + 1.4, since_boot + 1
        assert steps.since_last() == timedelta()
    wall += 86_400
    assert steps.since_last() == timedelta(days=1)
    assert steps.since_last() == timedelta()
    wall -= 3 * 86_400
    assert steps.since_last() == timedelta(days=-3)
