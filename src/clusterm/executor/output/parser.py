"""What a job wrote, in whatever pieces it is read, as lines and records.

The output is ansible's stdout and stderr merged, with the records of `callback_plugins/clusterm_records.py`
in it. What a byte belongs to depends only on the end of the line or record before it. So reading may stop
after any of them and go on from its `end`, also in another process.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import orjson

from clusterm.secrets.masking import Masker, Span, merge, overlapping, replace

MAX_LINE_BYTES: Final = 64 * 1024
"""A longer line comes in parts, so that neither memory nor the store has to hold it in one piece."""

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""A longer record is taken for text. The longest ones are recaps, about 160 bytes for each node."""

_NO_SECRETS: Final = Masker(())


class Line(NamedTuple):
    """A line of text, or a part of one, without its newline."""

    end: int
    """Offset in the output of the first byte after it, and after its newline."""
    text: str
    partial: bool
    """It was cut at `MAX_LINE_BYTES`; the next line goes on."""


class Record(NamedTuple):
    """A record of the callback plugin."""

    end: int
    """Offset in the output of the first byte after it."""
    data: dict[str, Any]
    secret: bool = False
    """There are secrets in it."""


class OutputParser:
    """Cuts output into lines and records.

    Args:
        nonce: what tells this job's records from anything else that its playbooks print.
        offset: where in the output the first bytes come from: 0, or the `end` of a line or record.
        masker: masks secrets in lines, before anybody else sees them.
    """

    def __init__(self, nonce: str, offset: int = 0, masker: Masker = _NO_SECRETS) -> None:
        self._marker = b"\x1e" + nonce.encode() + b" "
        self._masker = masker
        self._secrets: list[Span] = []  # where they are in the buffer
        self._buffer = bytearray()
        self._offset = offset  # of the buffer in the output
        self._start = 0  # of the next line or record in the buffer

    def feed(self, data: bytes) -> Iterator[Line | Record]:
        """Take the next bytes and return the lines and records that are complete with them."""
        del self._buffer[: self._start]
        self._offset += self._start
        self._secrets = [(start - self._start, end - self._start) for start, end in self._secrets if end > self._start]
        self._start = 0
        unseen = max(0, len(self._buffer) - self._masker.longest)
        self._buffer += data
        self._secrets = merge([*self._secrets, *self._masker.find(self._buffer, unseen)])
        return self._read(final=False)

    def close(self) -> Iterator[Line | Record]:
        """Return what is left at the end of the output, where no newline follows."""
        return self._read(final=True)

    def _read(self, *, final: bool) -> Iterator[Line | Record]:
        while self._start < len(self._buffer):
            found = self._next(final=final)
            if found is None:
                return
            self._start = found.end - self._offset
            yield found

    def _next(self, *, final: bool) -> Line | Record | None:
        """Return what starts the rest of the buffer; None if what it is depends on bytes still to come."""
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
        enough = limit + self._masker.longest  # to see whether the cut would tear a secret
        if len(buffer) >= enough or (final and len(buffer) - start > MAX_LINE_BYTES):
            cut = self._cut()
            return self._line(cut, cut, partial=True)
        return self._line(len(buffer), len(buffer)) if final else None

    def _cut(self) -> int:
        """Return where to cut a line that is too long: nowhere in a character, and in no secret."""
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
    """Move the cut to the start of the UTF-8 character that it would tear."""
    for start in range(cut, cut - 4, -1):
        if buffer[start] & 0b1100_0000 != 0b1000_0000:
            return start
    return cut
