"""The place of a job in a distributed trace, and the header `traceparent` (https://www.w3.org/TR/trace-context/)."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[ -~]*)?", re.ASCII)
_SAMPLED: Final = 0x01


@dataclass(frozen=True)
class TraceParent:
    """The span that a request belongs to."""

    trace_id: str
    span_id: str
    sampled: bool
    """Whether its sender exports the trace."""


def parse_traceparent(values: Sequence[str]) -> TraceParent | None:
    """Return the parent that the headers of a request name; None if they name none, or are not valid.

    Args:
        values: the values of all headers `traceparent`.
    """
    found = _TRACEPARENT.fullmatch(values[0].strip(" \t")) if len(values) == 1 else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceParent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def new_trace_id() -> str:
    """Return a random id of a trace."""
    return _random_id(16)


def new_span_id() -> str:
    """Return a random id of a span."""
    return _random_id(8)


def _random_id(size: int) -> str:
    while not any(number := secrets.token_bytes(size)):  # zero is not valid
        pass
    return number.hex()
