"""Sizes of batches, and numbers of failures that a job tolerates, given as numbers or as percentages of its nodes."""

import re
from collections.abc import Sequence
from typing import Final

Share = int | str
"""A number of nodes, or a percentage as `10%`."""

MAX_SIZES: Final = 100
"""Sizes in a list of sizes of batches."""

_MAX_NODES: Final = 10**6
_TEXT: Final = re.compile(r"([0-9]{1,7})(%?)", re.ASCII)


def parse_share(value: object, *, least: int) -> Share:
    """Return a share in its canonical form.

    Args:
        value: a number, or a text with a number or a percentage.
        least: the smallest number or percentage.

    Raises:
        ValueError: it is neither, or out of range.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    found = _TEXT.fullmatch(str(value)) if isinstance(value, (int, str)) and not isinstance(value, bool) else None
    if found is None:
        raise ValueError(f"give a number of nodes, or a percentage as 10%, not {str(value)[:40]!r}")
    number, most = int(found[1]), 100 if found[2] else _MAX_NODES
    if not least <= number <= most:
        raise ValueError(f"{str(value)[:40]!r} is not between {least}{found[2]} and {most}{found[2]}")
    return f"{number}%" if found[2] else number


def parse_sizes(value: object) -> Share | list[Share]:
    """Return the size of all batches, or a list of sizes, in its canonical form.

    Raises:
        ValueError: it is neither.
    """
    if not isinstance(value, list):
        return parse_share(value, least=1)
    if not 0 < len(value) <= MAX_SIZES:
        raise ValueError(f"give one to {MAX_SIZES} sizes")
    return [parse_share(each, least=1) for each in value]


def sizes(limit: Share | Sequence[Share] | None, nodes: int) -> list[int]:
    """Return the sizes of the batches of a job.

    Args:
        limit: the sizes as requested; the last one repeats. None: all nodes at once.
        nodes: the number of nodes of the job.
    """
    shares = [limit] if isinstance(limit, (int, str)) else list(limit or ["100%"])
    wanted = [max(count(share, nodes), 1) for share in shares]
    found: list[int] = []
    left = nodes
    while left:
        size = min(wanted[min(len(found), len(wanted) - 1)], left)
        found.append(size)
        left -= size
    return found


def split(names: Sequence[str], limit: Share | Sequence[Share] | None) -> list[Sequence[str]]:
    """Return the nodes of a job by batch."""
    found, start = [], 0
    for size in sizes(limit, len(names)):
        found.append(names[start : start + size])
        start += size
    return found


def count(share: Share | None, nodes: int) -> int:
    """Return the number of nodes that a share means, rounded down; 0 for none."""
    if isinstance(share, str):
        return nodes * int(share.removesuffix("%")) // 100
    return share or 0
