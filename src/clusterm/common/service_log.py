"""The service's own log: one line for each thing that happens, as text or as JSON, to stderr.

A line about a job carries its id, action and nodes. Whatever a request or a process puts into a message, a line stays
one line.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from clusterm.enums import LogFormat, LogLevel

_MAX_LINE_LENGTH: Final = 8000
"""Characters of a message that are written: the journal cuts a line at 48 KiB, and an escape takes up to six bytes."""

_MAX_NODES: Final = 100
"""Nodes that a line names."""

_PRIORITIES: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""syslog(3)'s, by logging's levels."""


class JobLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines are about one job. What a call gives as `extra` are further members of its line."""

    def __init__(self, logger: logging.Logger, job: int, action: str, nodes: Sequence[str]) -> None:
        shown = [*nodes[:_MAX_NODES], *([f"and {len(nodes) - _MAX_NODES} more"] if len(nodes) > _MAX_NODES else [])]
        super().__init__(logger, {"job": job, "action": str(action), "nodes": shown})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add what every line has."""
        return msg, {**kwargs, "extra": log_fields(**{**(self.extra or {}), **kwargs.get("extra", {})})}


def log_fields(**values: Any) -> dict[str, Any]:
    """Return the `extra` of a logging call that gives its line these members."""
    return {"log_fields": values}


def configure(log_format: LogFormat, level: LogLevel) -> None:
    """Write the log of this process to stderr, also what libraries, warnings and dying threads have to say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(log_format, to_journal=_is_journal(sys.stderr)))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(capture=True)
    for talkative in ("alembic", "httpcore", "httpx"):  # the latter two would write URLs and headers, which are secret
        logging.getLogger(talkative).setLevel(logging.WARNING)
    threading.excepthook = _log_death


class Formatter(logging.Formatter):
    """Writes records.

    Args:
        log_format: as what.
        to_journal: whether systemd's journal takes the lines, and so their priority in front of them, sd-daemon(3).
    """

    def __init__(self, log_format: LogFormat, *, to_journal: bool = False) -> None:
        super().__init__()
        self._write = _as_json if log_format is LogFormat.JSON else _as_text
        self._to_journal = to_journal

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        written = self._write(record)
        if not self._to_journal:
            return written
        priority = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(f"{priority}{line}" for line in written.split("\n"))


def parse(line: str, other: Mapping[str, Any]) -> logging.LogRecord:
    """Return the record that was written as a line of JSON; of any other line, a warning that says the same.

    Args:
        line: the line.
        other: members that it has besides its own.
    """
    try:
        found = json.loads(line)
        level = logging.getLevelNamesMapping()[found.pop("level").upper()]
        values = {
            "created": datetime.fromisoformat(found.pop("at")).timestamp(),
            "name": found.pop("logger"),
            "msg": found.pop("message"),
            "exc_text": found.pop("exception", None),
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        level, found = logging.WARNING, {}
        values = {"name": "clusterm.executor", "msg": line}
    return logging.makeLogRecord(
        {**values, "levelno": level, "levelname": logging.getLevelName(level), "log_fields": {**other, **found}}
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
    found: Mapping[str, Any] = getattr(record, "log_fields", {})
    return found


def _subject(record: logging.LogRecord) -> str:
    """Say which job, and which line of its log, a line of text is about."""
    about = _extra_fields(record)
    if "job" not in about:
        return ""
    what = " ".join(map(str, (about.get("action", ""), *about.get("nodes", ())[:5])))
    more = len(about.get("nodes", ())) - 5
    what += f" and {more} more" if more > 0 else ""
    line = f" line {about['line']}" if "line" in about else ""
    return f"job {about['job']} ({_one_line(what)}){line}: "


def _one_line(text: str) -> str:
    """Escape what could end a line, move a terminal's cursor, or turn the direction of the text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _is_journal(stream: TextIO) -> bool:
    """Tell whether systemd's journal reads a stream, systemd.exec(5)."""
    try:
        device, inode = map(int, os.environ.get("JOURNAL_STREAM", "").split(":"))
        status = os.fstat(stream.fileno())
    except (ValueError, OSError):
        return False
    return (status.st_dev, status.st_ino) == (device, inode)


def _log_death(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or issubclass(args.exc_type, SystemExit):
        return
    name = args.thread.name if args.thread else "?"
    exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
    logging.getLogger(__name__).critical("the thread %s has died", name, exc_info=exc_info)
