"""Finding secrets in what a job writes, also as they look when they are quoted or encoded."""

import base64
import json
import shlex
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final
from urllib.parse import quote, quote_plus

from ahocorasick_rs import BytesAhoCorasick

from clusterm.common.redaction import MASK

MIN_SECRET_LENGTH: Final = 4
"""Characters of a secret; a shorter one is in every other word."""

MAX_SECRET_LENGTH: Final = 64 * 1024
"""Characters of a secret; of a longer one the rest is not masked."""

_SHORTEST_BASE64: Final = 8
_PIECE: Final = 4096
"""Characters that are looked for at once; of what is longer in base64, only the beginning is."""

_DEPTH: Final = 3
"""How often what is written may be quoted as JSON: in a record, in ansible's output, by a playbook."""

_URL_SAFE: Final = str.maketrans("+/", "-_")
_CUT: Final = "…"
"""Stands where a text of the callback plugin was cut."""

Span = tuple[int, int]


class Masker:
    """Masks secrets.

    Args:
        secrets: those to mask. Of one with several lines each line is one.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        lines: set[str] = set()
        forms: set[str] = set()
        for secret in {secret.strip()[:MAX_SECRET_LENGTH] for secret in secrets} - {MASK}:
            lines |= {line for line in map(str.strip, secret.splitlines()) if len(line) >= MIN_SECRET_LENGTH}
            forms |= {form for form in _in_base64(secret[:_PIECE]) if len(form) >= _SHORTEST_BASE64}
        for line in lines:
            for start in range(0, len(line), _PIECE):  # pieces that touch are masked as one
                forms |= set(_written(line[min(start, max(0, len(line) - MIN_SECRET_LENGTH)) : start + _PIECE]))
        for _ in range(_DEPTH):
            forms |= {json.dumps(form, ensure_ascii=False)[1:-1] for form in forms}
        self._lines = sorted(lines)
        patterns = [form.encode(errors="surrogatepass") for form in forms]
        self._search = BytesAhoCorasick(patterns)
        self.longest = max(map(len, patterns), default=0)
        """Bytes of the longest form of a secret."""

    def find(self, data: bytes | bytearray, start: int = 0) -> list[Span]:
        """Return where secrets are, from a place on, in order. Those that overlap or touch are one."""
        found = self._search.find_matches_as_indexes(bytes(data[start:]), overlapping=True)
        return merge((start + begin, start + end) for _, begin, end in found)

    def mask(self, text: str) -> str:
        """Return a text with its secrets masked, also what is left of one where the text was cut."""
        data = text.encode(errors="surrogatepass")
        masked = replace(data, 0, len(data), self.find(data)).decode(errors="surrogatepass")
        *cut, whole = masked.split(_CUT)
        return _CUT.join([*map(self._mask_end, cut), whole])

    def _mask_end(self, text: str) -> str:
        """Mask the beginning of a secret at the end of a text."""
        for line in self._lines:
            for length in range(min(len(line) - 1, len(text)), MIN_SECRET_LENGTH - 1, -1):
                if text.endswith(line[:length]):
                    return text[:-length] + MASK
        return text


def merge(spans: Iterable[Span]) -> list[Span]:
    """Put spans in order, and make one of those that overlap or touch."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def overlapping(spans: Sequence[Span], start: int, end: int) -> Sequence[Span]:
    """Return those of merged spans that reach into a part."""
    first = max(0, bisect_right(spans, (start, start)) - 1)
    last = bisect_right(spans, (end, 0))
    return [span for span in spans[first:last] if span[1] > start and span[0] < end]


def replace(data: bytes | bytearray, start: int, end: int, spans: Sequence[Span]) -> bytes | bytearray:
    """Return a part of some data with the spans that reach into it masked."""
    hidden = overlapping(spans, start, end) if spans else ()
    if not hidden:
        return data[start:end]
    edges = [start, *(edge for span in hidden for edge in span), end]
    shown = [data[left:right] for left, right in list(pairwise(edges))[::2]]
    return MASK.encode().join(shown)


def _written(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and as it looks in JSON, in Python, in a shell's quotes and in a URL."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield repr(secret)[1:-1]
    yield shlex.quote(secret).strip("'")
    yield secret.replace("'", "''")  # YAML
    for encoded in (
        quote(secret, errors="replace"),
        quote(secret, "", errors="replace"),
        quote_plus(secret, errors="replace"),
    ):
        yield encoded
        yield _lower_escapes(encoded)


def _lower_escapes(encoded: str) -> str:
    head, *rest = encoded.split("%")
    return "%".join([head, *(part[:2].lower() + part[2:] for part in rest)])


def _in_base64(secret: str) -> Iterator[str]:
    """Yield what base64 makes of a secret, alone and wherever in an encoded text it stands."""
    data = secret.encode(errors="surrogatepass")
    encoded = [base64.b64encode(data).decode(), base64.b64encode(data + b"\n").decode()]
    for before, unknown in ((0, 0), (1, 2), (2, 3)):  # bytes before it in a group of three; characters that mix both
        whole = (before + len(data)) // 3 * 4  # what comes after it mixes into the rest
        encoded.append(base64.b64encode(bytes(before) + data).decode()[unknown:whole])
    for form in encoded:
        yield form
        yield form.translate(_URL_SAFE)
