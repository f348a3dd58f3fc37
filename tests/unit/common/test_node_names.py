"""Texts that are made fit for node names."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterm.common.addresses import Place
from clusterm.common.node_names import PART_PATTERN, fit_part, serial_from_place


@pytest.mark.parametrize(
    ("text", "fitted"),
    [
        ("VMware-56 4d 8a 9b-1c", "VMware-56-4d-8a-9b-1c"),
        ("  J0HN/DOE_42. ", "J0HN-DOE_42"),
        ("../../etc", "etc"),
        ("web1.example.org", "web1.example.org"),
        ("Nœud 3", "N-ud-3"),
        ("--", ""),
        ("", ""),
    ],
)
def test_a_text_is_made_a_label_or_serial(text: str, fitted: str) -> None:
    assert fit_part(text) == fitted


@given(st.text(max_size=300))
def test_what_is_made_fit_is_valid_and_stays_so(text: str) -> None:
    fitted = fit_part(text)
    assert not fitted or re.fullmatch(PART_PATTERN, fitted)
    assert fit_part(fitted) == fitted


def test_long_texts_with_the_same_beginning_stay_different() -> None:
    one, other = (fit_part("x" * 200 + end) for end in "ab")
    assert one != other
    assert one.startswith("x" * 100)


@pytest.mark.parametrize(
    ("place", "serial"),
    [
        (Place("10.0.0.1"), "10.0.0.1"),
        (Place("10.0.0.1", 22), "10.0.0.1"),
        (Place("10.0.0.1", 2201), "10.0.0.1-2201"),
        (Place("2001:db8::1:1"), "2001-db8--1-1"),
        (Place("2001:db8:1::1"), "2001-db8-1--1"),
        (Place("fe80::1%eth0"), "fe80--1-eth0"),
    ],
)
def test_a_serial_is_made_from_a_place(place: Place, serial: str) -> None:
    assert serial_from_place(place) == serial
