"""Encode log lines as text, NDJSON or server-sent events."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from clusterm import schemas
from clusterm.store.log_lines import Row
from clusterm.store.log_reader import text_of


@dataclass(frozen=True)
class LogEncoding:
    """An encoding of log lines."""

    media_type: str
    encode: Callable[[Sequence[Row]], bytes]
    """Encodes consecutive lines of the log or of a selection."""
    end: Callable[[schemas.LogEnd], bytes]
    """Encodes the end record for a follower."""
    newline: bytes = b""
    """Terminates a line whose next part is not in the selection."""
    ping: bytes = b""
    """Keepalive message."""


def _ndjson(rows: Sequence[Row]) -> bytes:
    return b"".join([orjson.dumps(_line(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows])


def _ndjson_end(end: schemas.LogEnd) -> bytes:
    return b"%s\n" % end.model_dump_json().encode()


def _events(rows: Sequence[Row]) -> bytes:
    return b"".join([b"id: %d\ndata: %s\n\n" % (row.seq, orjson.dumps(_line(row))) for row in rows])


def _events_end(end: schemas.LogEnd) -> bytes:
    return b"event: end\ndata: %s\n\n" % end.model_dump_json().encode()


def _line(row: Row) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "at": row.at and schemas.format_time(row.at),
        "text": row.text,
        "partial": bool(row.partial),
        "play": row.play,
        "task": row.task,
        "node": row.node,
    }


TEXT: Final = LogEncoding("text/plain", text_of, lambda _: b"", newline=b"\n")
NDJSON: Final = LogEncoding("application/x-ndjson", _ndjson, _ndjson_end)
EVENTS: Final = LogEncoding("text/event-stream", _events, _events_end, ping=b": ping\n\n")

NAMES: Final = {"text": TEXT, "ndjson": NDJSON, "events": EVENTS}

ENCODINGS: Final = {
    "*/*": TEXT,
    "text/*": TEXT,
    "text/plain": TEXT,
    "application/x-ndjson": NDJSON,
    "application/json": NDJSON,
    "text/event-stream": EVENTS,
}
