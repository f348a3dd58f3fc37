"""Durations as text."""

from datetime import timedelta

import pytest

from clusterm.common.durations import is_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0s", timedelta()),
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("1w2d", timedelta(days=9)),
        ("1m1m", timedelta(minutes=2)),
    ],
)
def test_numbers_with_units_are_added(text: str, duration: timedelta) -> None:
    assert is_duration(text)
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text", ["", "30", "m", "-1m", "1.5h", "1 h", "1y", "1H", "1_0m", "1h30", "1h\n", "9999999999s", "٣d"]
)
def test_other_texts_are_no_durations(text: str) -> None:
    assert not is_duration(text)
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


def test_a_duration_can_be_too_long() -> None:
    with pytest.raises(OverflowError):
        parse_duration("999999999w")
