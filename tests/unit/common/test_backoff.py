"""Delays double up to a maximum, and a success resets them."""

import time

import pytest

from clusterm.common.backoff import Backoff


def test_delays_double_up_to_the_maximum_and_start_again_after_a_success() -> None:
    delays = Backoff(1.0, 10.0)
    assert [delays.fail() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert delays.failures == 6
    delays.reset()
    assert delays.failures == 0
    assert delays.fail() == 1


def test_very_many_failures_do_not_overflow() -> None:
    delays = Backoff(1.0, 10.0)
    assert [delays.fail() for _ in range(2000)][-1] == 10


def test_jitter_shortens_a_delay_and_a_wish_extends_it() -> None:
    for _ in range(100):
        assert 2 <= Backoff(4.0, 10.0, jitter=0.5).fail() <= 4
    assert Backoff(1.0, 10.0).fail(at_least=60) == 60


def test_it_is_over_by_the_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    delays = Backoff(5.0, 10.0)
    assert delays.is_over()
    delays.fail()
    now = 104.9
    assert not delays.is_over()
    now = 105.0
    assert delays.is_over()
    delays.fail()
    assert not delays.is_over()
    delays.reset()
    assert delays.is_over()
