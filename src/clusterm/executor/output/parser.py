"""Split a job's output stream into lines and records, independent of chunk boundaries.

The output is ansible's stdout and stderr merged, with the records of `callback_plugins/clusterm_records.py` in it.
Parsing depends only on the end of the previous line or record. So it can stop after any line or record and resume from
its `end`, also in another process.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import orjson

from clusterm.secrets.masking import Masker, Span, merge, overlapping, replace

MAX_LINE_BYTES: Final = 64 * 1024
"""A longer line is split into parts, to limit the memory for it here and in the store."""

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""A longer record is treated as text. The longest records are recaps, about 160 bytes per node."""

_NO_SECRETS: Final = Masker(())


class Line(NamedTuple):
    """A line of text, or a part of one, without its newline."""

    end: int
    """Offset in the output of the first byte after the line and its newline."""
    text: str
    partial: bool
    """Whether the line was cut at `MAX_LINE_BYTES`; the next line continues it."""


class Record(NamedTuple):
    """A record of the callback plugin."""

    end: int
    """Offset in the output of the first byte after the record."""
    data: dict[str, Any]
    secret: bool = False
    """Whether the record contains secrets."""


class OutputParser:
    """Parser for a job's output.

    Args:
        nonce: the nonce that distinguishes records from text that playbooks print.
        offset: offset in the output of the first byte to parse: 0, or the `end` of a line or record.
        masker: masks secrets in lines.
    """

    def __init__(self, nonce: str, offset: int = 0, masker: Masker = _NO_SECRETS) -> None:
        self._marker = b"\x1e" + nonce.encode() + b" "
        self._masker = masker
        self._secrets: list[Span] = []  # positions in the buffer
        self._buffer = bytearray()
        self._offset = offset  # of the buffer in the output
        self._start = 0  # of the next line or record in the buffer

    def feed(self, data: bytes) -> Iterator[Line | Record]:
        """Parse the next bytes, and return the lines and records that they complete."""
        del self._buffer[: self._start]
        self._offset += self._start
        self._secrets = [(start - self._start, end - self._start) for start, end in self._secrets if end > self._start]
        self._start = 0
        unsearched = max(0, len(self._buffer) - self._masker.longest)
        self._buffer += data
        self._secrets = merge([*self._secrets, *self._masker.find(self._buffer, unsearched)])
        return self._read(final=False)

    def close(self) -> Iterator[Line | Record]:
        """Return the lines and records at the end of the output, including a last line without a newline."""
        return self._read(final=True)

    def _read(self, *, final: bool) -> Iterator[Line | Record]:
        while self._start < len(self._buffer):
            item = self._next(final=final)
            if item is None:
                return
            self._start = item.end - self._offset
            yield item

    def _next(self, *, final: bool) -> Line | Record | None:
        """Return the next line or record of the buffer; None if more bytes are needed."""
        buffer, start, marker = self._buffer, self._start, self._marker
        if buffer.startswith(marker, start):
            newline = buffer.find(b"\n", start, start + MAX_RECORD_BYTES)
            if newline >= 0:
                data = _parse(buffer[start + len(marker) : newline])
                if data is not None:
                    return Record(self._offset + newline + 1, data, bool(overlapping(self._secrets, start, newline)))
            elif not final and len(buffer) - start < MAX_RECORD_BYTES:
                return None

        newline = buffer.find(b"\n", start, start + MAX_LINE_BYTES + 1)
        limit = newline if newline >= 0 else start + MAX_LINE_BYTES + len(marker)
        record = buffer.find(marker, start + 1, limit)
        if record >= 0:
            return self._line(record, record)
        if newline >= 0:
            stop = newline - 1 if buffer.endswith(b"\r", start, newline) else newline
            return self._line(stop, newline + 1)
        enough = limit + self._masker.longest  # enough to detect a secret at the cut
        if len(buffer) >= enough or (final and len(buffer) - start > MAX_LINE_BYTES):
            cut = self._cut()
            return self._line(cut, cut, partial=True)
        return self._line(len(buffer), len(buffer)) if final else None

    def _cut(self) -> int:
        """Return the position at which to cut a long line, outside of UTF-8 characters and secrets."""
        cut = _before_character(self._buffer, self._start + MAX_LINE_BYTES)
        for start, end in overlapping(self._secrets, cut, cut + 1):
            if start < cut:
                cut = start if start > self._start else end
        return cut

    def _line(self, stop: int, end: int, *, partial: bool = False) -> Line:
        data = replace(self._buffer, self._start, stop, self._secrets)
        text = data.decode(errors="backslashreplace")
        return Line(self._offset + end, text.replace("\0", "\\x00"), partial)


def _parse(text: bytearray) -> dict[str, Any] | None:
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return data if isinstance(data, dict) else None


def _before_character(buffer: bytearray, cut: int) -> int:
    """Move the cut back to the start of the UTF-8 character that it would split."""
    for start in range(cut, cut - 4, -1):
        if buffer[start] & 0b1100_0000 != 0b1000_0000:
            return start
    return cut
