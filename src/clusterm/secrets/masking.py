"""Finds and masks secrets in the output of a job, also quoted and encoded ones."""

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
"""Characters of a secret. Shorter ones are not masked, because they occur in ordinary words."""

MAX_SECRET_LENGTH: Final = 64 * 1024
"""Characters of a secret. The rest of a longer one is not masked."""

_MIN_BASE64_LENGTH: Final = 8
_PIECE: Final = 4096
"""Characters of a search pattern. Longer secrets are split; of a longer one in base64, only the beginning is found."""

_DEPTH: Final = 3
"""How many times a secret may be quoted as JSON: in a record, in ansible's output, by a playbook."""

_URL_SAFE: Final = str.maketrans("+/", "-_")
_CUT: Final = "…"
"""The mark where the callback plugin has cut a text."""

Span = tuple[int, int]


class Masker:
    """Masks secrets.

    Args:
        secrets: the secrets. Each line of a secret is masked by itself.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        lines: set[str] = set()
        forms: set[str] = set()
        for secret in {secret.strip()[:MAX_SECRET_LENGTH] for secret in secrets} - {MASK}:
            lines |= {line for line in map(str.strip, secret.splitlines()) if len(line) >= MIN_SECRET_LENGTH}
            forms |= {form for form in _in_base64(secret[:_PIECE]) if len(form) >= _MIN_BASE64_LENGTH}
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
        """Return the spans of secrets from a position on, in order, merged where they overlap or touch."""
        found = self._search.find_matches_as_indexes(bytes(data[start:]), overlapping=True)
        return merge((start + begin, start + end) for _, begin, end in found)

    def mask(self, text: str) -> str:
        """Return a text with its secrets masked, also the beginning of a secret where the text was cut."""
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
    """Return spans in order, merged where they overlap or touch."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def overlapping(spans: Sequence[Span], start: int, end: int) -> Sequence[Span]:
    """Return the spans, of merged ones, that overlap with a part."""
    first = max(0, bisect_right(spans, (start, start)) - 1)
    last = bisect_right(spans, (end, 0))
    return [span for span in spans[first:last] if span[1] > start and span[0] < end]


def replace(data: bytes | bytearray, start: int, end: int, spans: Sequence[Span]) -> bytes | bytearray:
    """Return a part of data with its spans masked, also spans that overlap with it only partly."""
    hidden = overlapping(spans, start, end) if spans else ()
    if not hidden:
        return data[start:end]
    edges = [start, *(edge for span in hidden for edge in span), end]
    shown = [data[left:right] for left, right in list(pairwise(edges))[::2]]
    return MASK.encode().join(shown)


def _written(secret: str) -> Iterator[str]:
    """Yield a secret unchanged, and as it is quoted in JSON, Python, a shell, YAML and a URL."""
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
    """Yield a secret in base64, alone and at each alignment in a longer encoded text."""
    data = secret.encode(errors="surrogatepass")
    encoded = [base64.b64encode(data).decode(), base64.b64encode(data + b"\n").decode()]
    # Bytes before the secret in a group of three, and the number of characters that depend on them.
    for before, unknown in ((0, 0), (1, 2), (2, 3)):
        whole = (before + len(data)) // 3 * 4  # later characters depend on the bytes after it
        encoded.append(base64.b64encode(bytes(before) + data).decode()[unknown:whole])
    for form in encoded:
        yield form
        yield form.translate(_URL_SAFE)
