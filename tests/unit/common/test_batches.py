"""Sizes of batches, and numbers of failures, as numbers and percentages."""

from typing import Any

import pytest

from clusterm.common import batches


@pytest.mark.parametrize(
    ("limit", "nodes", "expected"),
    [
        ([1, "10%", "25%"], 40, [1, 4, 10, 10, 10, 5]),
        ("10%", 3, [1, 1, 1]),
        ("10%", 1, [1]),
        ("34%", 3, [1, 1, 1]),
        ("67%", 3, [2, 1]),
        (2, 5, [2, 2, 1]),
        ([5, 1], 2, [2]),
        ("100%", 7, [7]),
        (None, 7, [7]),
        (None, 0, []),
    ],
)
def test_sizes_are_rounded_down_to_one_at_least_and_the_last_repeats(
    limit: Any, nodes: int, expected: list[int]
) -> None:
    assert batches.sizes(limit, nodes) == expected
    names = [str(number) for number in range(nodes)]
    assert [name for batch in batches.split(names, limit) for name in batch] == names


@pytest.mark.parametrize(
    ("share", "nodes", "expected"), [("2%", 40, 0), ("2%", 50, 1), ("100%", 3, 3), (2, 1, 2), (0, 9, 0), (None, 9, 0)]
)
def test_failures_are_rounded_down_also_to_zero(share: Any, nodes: int, expected: int) -> None:
    assert batches.count(share, nodes) == expected


@pytest.mark.parametrize(
    "value", ["0%", "101%", 0, -1, "", "1.5", 1.5, True, None, {}, [], [[1]], ["10%", "0%"], "%", "1 %", 10**6 + 1]
)
def test_what_is_no_size_is_rejected(value: Any) -> None:
    with pytest.raises(ValueError, match=r"give|between"):
        batches.parse_sizes(value)


def test_sizes_get_one_form() -> None:
    assert batches.parse_sizes("010") == 10
    assert batches.parse_sizes(["1", "010%", 25.0]) == [1, "10%", 25]
    assert batches.parse_share("0%", least=0) == "0%"
