"""Expand ranges of IP addresses: `10.0.0.10-20`, `10.0.0.10-10.0.0.20`, `10.0.0.0/24`; standard library only."""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any, Final

MAX_ADDRESSES: Final = 65_536
"""Maximum number of addresses in a request, after its ranges are expanded."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def expand(targets: Iterable[str]) -> list[str]:
    """Return the addresses, each once, with ranges expanded. Targets that are not ranges are returned unchanged.

    Raises:
        ValueError: a range is invalid, or there are too many addresses.
    """
    found: dict[str, None] = {}
    for target in targets:
        for address in _addresses(target):
            found[address] = None
            if len(found) > MAX_ADDRESSES:
                raise ValueError(f"more than {MAX_ADDRESSES} addresses: name fewer at a time")
    return list(found)


def _addresses(target: str) -> Iterable[str]:
    first, slash, prefix = target.partition("/")
    if slash and _parse(first):
        return _in_network(target, prefix)
    first, dash, last = target.partition("-")
    start = _parse(first)
    if not dash or start is None:
        return [target]
    end = _parse(last)
    if end is None and start.version == 4 and last.isascii() and last.isdigit() and len(last) <= 3:
        end = _parse(f"{first.rpartition('.')[0]}.{int(last)}")
    if end is None or end.version != start.version or int(end) < int(start):
        raise ValueError(f"{target[:80]!r} is no range of addresses: write it as 10.0.0.10-20 or 10.0.0.10-10.0.0.20")
    return _between(start, end)


def _in_network(target: str, prefix: str) -> Iterator[str]:
    try:
        network = ipaddress.ip_network(target, strict=False)
    except ValueError:
        raise ValueError(f"{target[:80]!r} is no network: write it as 10.0.0.0/24") from None
    if not prefix.isascii() or not prefix.isdigit():
        raise ValueError(f"{target[:80]!r} is no network: write it as 10.0.0.0/24")
    return (str(address) for address in network.hosts())


def _between(start: Any, end: Any) -> Iterator[str]:
    return (str(start + number) for number in range(int(end) - int(start) + 1))


def _parse(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
