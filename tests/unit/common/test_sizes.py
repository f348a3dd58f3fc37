"""Sizes in bytes as text."""

import pytest

from clusterm.common.sizes import exact_size, rounded_size


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1 bytes"),
        (1000, "1000 bytes"),
        (1024, "1 KiB"),
        (65536, "64 KiB"),
        (1024**2, "1 MiB"),
        (1024**3, "1024 MiB"),
    ],
)
def test_an_exact_size_loses_nothing(number: int, text: str) -> None:
    assert exact_size(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_500_000, "1.4 MiB"),
        (1536 * 1024**2, "1.5 GiB"),
        (1024**4, "1.0 TiB"),
        (5000 * 1024**4, "5000.0 TiB"),
    ],
)
def test_a_rounded_size_has_the_largest_unit(number: int, text: str) -> None:
    assert rounded_size(number) == text
