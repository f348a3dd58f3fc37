"""Sizes in bytes as text."""

from typing import Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def exact_size(number: int) -> str:
    """Return a number of bytes in the largest of MiB, KiB and bytes in which it is whole, as `64 KiB`."""
    for unit, name in ((1024 * 1024, "MiB"), (1024, "KiB")):
        if number % unit == 0:
            return f"{number // unit} {name}"
    return f"{number} bytes"


def rounded_size(number: float) -> str:
    """Return a number of bytes in the largest unit in which it is at least 1, to one decimal, as `1.5 GiB`."""
    for unit in _UNITS:
        if number < 1024 or unit == _UNITS[-1]:
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
