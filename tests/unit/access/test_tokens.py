"""Lifetimes of tokens."""

from datetime import timedelta

import pytest

from clusterm.access import tokens
from clusterm.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "lifetime"), [("90m", timedelta(minutes=90)), ("30d", timedelta(30)), ("8w", timedelta(56))]
)
def test_lifetimes(text: str, lifetime: timedelta) -> None:
    assert tokens.parse_lifetime(text) == lifetime


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "0d", "1.5d", "1y", "٣d", "100000d"])
def test_what_is_no_lifetime(text: str) -> None:
    with pytest.raises(BadRequest):
        tokens.parse_lifetime(text)
