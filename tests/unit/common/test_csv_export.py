"""Fields of exported CSV."""

from typing import Any

import pytest

from clusterm.common import csv_export


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, ""),
        ("plain", "plain"),
        ("-7", "'-7"),
        (-7, "-7"),
        (True, "true"),
        ({"status": ["Allocated", "Ü"]}, '"{""status"": [""Allocated"", ""Ü""]}"'),
        ('=HYPERLINK("http://x")', '"\'=HYPERLINK(""http://x"")"'),
        ("@SUM(1)", "'@SUM(1)"),
        ("+1", "'+1"),
        ("\t=1", "'\t'=1"),
        ("＝1", "'＝1"),  # noqa: RUF001
        (";=1", "';'=1"),
        (";a", "';a"),
        ("a;=1", "a;'=1"),
        ("a\t=1", "a\t'=1"),
        ("a; @SUM(1);b", "a;' @SUM(1);b"),
        ('a;"=1"', '"a;\'""=1"""'),
        ("a=1; b-c; d", "a=1; b-c; d"),
        (["x;=1"], '"[""x;\'=1""]"'),
        ("a\r\nb,c", '"a\r\nb,c"'),
    ],
)
def test_a_field_of_csv(value: Any, field: str) -> None:
    assert list(csv_export.rows(["a", "b"], [{"a": value, "c": 1}])) == ["a,b\r\n", f"{field},\r\n"]
