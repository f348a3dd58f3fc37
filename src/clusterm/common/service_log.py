"""Write the service's own log to stderr, one line per record, as text or as JSON.

Lines about a job carry its id, action and nodes. Control characters are escaped, so that no message spans lines.
"""

import json
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from clusterm.enums import LogFormat, LogLevel

_MAX_LINE_LENGTH: Final = 8000
"""Maximum characters of a message: the journal cuts a line at 48 KiB, and an escape takes up to six bytes."""

_MAX_RECENT: Final = 1000
"""Records that are kept for support bundles."""

_MAX_NODES: Final = 100
"""Maximum number of nodes named in a line."""

_PRIORITIES: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""Priorities of syslog(3), by level of `logging`."""


class JobLogger(logging.LoggerAdapter[logging.Logger]):
    """Logger for the lines about one job. `extra` of a call adds members to its line."""

    def __init__(
        self, logger: logging.Logger, job: int, action: str, nodes: Sequence[str], trace_id: str | None = None
    ) -> None:
        shown = [*nodes[:_MAX_NODES], *([f"and {len(nodes) - _MAX_NODES} more"] if len(nodes) > _MAX_NODES else [])]
        trace = {"trace_id": trace_id} if trace_id else {}
        super().__init__(logger, {"job": job, "action": str(action), "nodes": shown, **trace})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the job's members to a line."""
        return msg, {**kwargs, "extra": log_fields(**{**(self.extra or {}), **kwargs.get("extra", {})})}


class _Recent(logging.Handler):
    """Keeps the latest records as text."""

    def __init__(self) -> None:
        super().__init__()
        self.records: deque[str] = deque(maxlen=_MAX_RECENT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(self.format(record))


_recent: Final = _Recent()


def recent_lines() -> list[str]:
    """Return the latest lines of this process's log, as text."""
    return [line for record in list(_recent.records) for line in record.split("\n")]


def log_fields(**values: Any) -> dict[str, Any]:
    """Return the `extra` of a logging call that adds these members to its line."""
    return {"log_fields": values}


def configure(log_format: LogFormat, level: LogLevel) -> None:
    """Send this process's log to stderr, including messages of libraries, warnings and exceptions of threads."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(log_format, to_journal=_is_journal(sys.stderr)))
    _recent.setFormatter(Formatter(LogFormat.TEXT))
    logging.basicConfig(handlers=[handler, _recent], level=level.upper(), force=True)
    logging.captureWarnings(capture=True)
    for name in ("alembic", "httpcore", "httpx"):  # the latter two log URLs and headers, which may contain secrets
        logging.getLogger(name).setLevel(logging.WARNING)
    threading.excepthook = _log_thread_exception


class Formatter(logging.Formatter):
    """Format records as text or JSON.

    Args:
        log_format: text or JSON.
        to_journal: whether systemd's journal reads the lines; each then starts with its priority, sd-daemon(3).
    """

    def __init__(self, log_format: LogFormat, *, to_journal: bool = False) -> None:
        super().__init__()
        self._write = _as_json if log_format is LogFormat.JSON else _as_text
        self._to_journal = to_journal

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text."""
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        written = self._write(record)
        if not self._to_journal:
            return written
        priority = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(f"{priority}{line}" for line in written.split("\n"))


def parse(line: str, other: Mapping[str, Any]) -> logging.LogRecord:
    """Parse a line of JSON into a record; any other line becomes the message of a warning.

    Args:
        line: the line.
        other: members to add to the record.
    """
    try:
        members = json.loads(line)
        level = logging.getLevelNamesMapping()[members.pop("level").upper()]
        values = {
            "created": datetime.fromisoformat(members.pop("at")).timestamp(),
            "name": members.pop("logger"),
            "msg": members.pop("message"),
            "exc_text": members.pop("exception", None),
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        level, members = logging.WARNING, {}
        values = {"name": "clusterm.executor", "msg": line}
    return logging.makeLogRecord(
        {**values, "levelno": level, "levelname": logging.getLevelName(level), "log_fields": {**other, **members}}
    )


def _as_text(record: logging.LogRecord) -> str:
    lines = [f"{_time(record)[:-4]}Z {record.levelname} {_subject(record)}{_one_line(_message(record))}"]
    if record.exc_text:
        lines += [f"    {_one_line(line)}" for line in record.exc_text.split("\n")]
    return "\n".join(lines)


def _as_json(record: logging.LogRecord) -> str:
    exception = {"exception": record.exc_text} if record.exc_text else {}
    head = {"at": _time(record), "level": record.levelname.lower(), "message": _message(record)}
    return json.dumps({**head, **_extra_fields(record), "logger": record.name, **exception}, default=str)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    return message if len(message) <= _MAX_LINE_LENGTH else f"{message[:_MAX_LINE_LENGTH]}…"


def _extra_fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = getattr(record, "log_fields", {})
    return fields


def _subject(record: logging.LogRecord) -> str:
    """Return the prefix of a line about a job: the job, and a line number of its log if the record has one."""
    fields = _extra_fields(record)
    if "job" not in fields:
        return ""
    summary = " ".join(map(str, (fields.get("action", ""), *fields.get("nodes", ())[:5])))
    more = len(fields.get("nodes", ())) - 5
    summary += f" and {more} more" if more > 0 else ""
    line = f" line {fields['line']}" if "line" in fields else ""
    return f"job {fields['job']} ({_one_line(summary)}){line}: "


def _one_line(text: str) -> str:
    """Escape characters that could end a line, move a terminal's cursor, or reverse the direction of the text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _is_journal(stream: TextIO) -> bool:
    """Return whether systemd's journal reads a stream, systemd.exec(5)."""
    try:
        device, inode = map(int, os.environ.get("JOURNAL_STREAM", "").split(":"))
        status = os.fstat(stream.fileno())
    except (ValueError, OSError):
        return False
    return (status.st_dev, status.st_ino) == (device, inode)


def _log_thread_exception(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or issubclass(args.exc_type, SystemExit):
        return
    name = args.thread.name if args.thread else "?"
    exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
    logging.getLogger(__name__).critical("thread %s failed", name, exc_info=exc_info)
