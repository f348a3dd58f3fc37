"""Ranges of addresses."""

import pytest

from clusterm.common.ip_ranges import MAX_ADDRESSES, expand
from clusterm.schemas import DiscoverRequest


@pytest.mark.parametrize(
    ("target", "addresses"),
    [
        ("10.0.0.9-11", ["10.0.0.9", "10.0.0.10", "10.0.0.11"]),
        ("10.0.0.255-10.0.1.1", ["10.0.0.255", "10.0.1.0", "10.0.1.1"]),
        ("10.0.0.7-7", ["10.0.0.7"]),
        ("10.0.0.8/30", ["10.0.0.9", "10.0.0.10"]),
        ("10.0.0.10/30", ["10.0.0.9", "10.0.0.10"]),
        ("10.0.0.8/31", ["10.0.0.8", "10.0.0.9"]),
        ("10.0.0.8/32", ["10.0.0.8"]),
        ("fe80::a-fe80::c", ["fe80::a", "fe80::b", "fe80::c"]),
        ("fe80::/127", ["fe80::", "fe80::1"]),
        *((name, [name]) for name in ("10.0.0.1", "node-10-20", "10-20.example", "a-b/c", "", "10.0.0.1:22")),
    ],
)
def test_ranges_and_what_is_none(target: str, addresses: list[str]) -> None:
    assert expand([target]) == addresses


def test_each_address_counts_once_in_the_order_of_the_request() -> None:
    assert expand(["10.0.0.3", "10.0.0.1-3", "10.0.0.2/32"]) == ["10.0.0.3", "10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        *((f"10.0.0.10-{last}", "no range of addresses") for last in ("9", "256", "999", "", "x", "::1", "1-2", "²")),
        *((f"10.0.0.0/{prefix}", "no network") for prefix in ("33", "", "x", "-1", "255.255.255.0", "²")),
        ("10.0.0.0/15", "more than 65536"),
        ("::/0", "more than 65536"),
        ("0.0.0.0-255.255.255.255", "more than 65536"),
    ],
)
def test_what_is_no_range_is_refused(target: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        expand([target])
    with pytest.raises(ValueError, match=reason):
        DiscoverRequest(addrs=[target])


def test_so_many_addresses_and_no_more() -> None:
    assert len(expand(["10.0.0.0-10.0.255.255"])) == MAX_ADDRESSES
    with pytest.raises(ValueError, match="more than"):
        expand(["10.0.0.0-10.0.255.255", "10.1.0.0"])
