"""Durations as text: numbers with units, as `30m` or `1h30m`."""

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PART: Final = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_DURATION: Final = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def is_duration(text: str) -> bool:
    """Return whether a text is one or more numbers, each with one of the units s, m, h, d and w."""
    return _DURATION.fullmatch(text) is not None


def parse_duration(text: str) -> timedelta:
    """Return the sum of numbers with units, as `1h30m`.

    Raises:
        ValueError: the text has another form.
        OverflowError: the duration is longer than a `timedelta` can be.
    """
    if not is_duration(text):
        raise ValueError(f"{text!r} is no duration")
    return sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in _PART.findall(text)), timedelta())
