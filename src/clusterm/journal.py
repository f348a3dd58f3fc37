"""The service's own log on standard error, in the form that suits its reader: a person, or systemd's journal."""

import logging
import os
import sys
from typing import Final

_PRIORITIES: Final = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""syslog's priorities, which systemd knows by a number in front of a line."""


def log_handler() -> logging.Handler:
    """Return what writes the log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JournalFormatter() if _is_journal(sys.stderr.fileno()) else plain)
    return handler


class JournalFormatter(logging.Formatter):
    """Puts its priority before each line, and leaves the time to the journal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        priority = next((number for level, number in _PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).split("\n"))


def _is_journal(descriptor: int) -> bool:
    """Whether systemd has connected the descriptor with the journal, and nobody has redirected it since."""
    file = os.fstat(descriptor)
    return os.environ.get("JOURNAL_STREAM") == f"{file.st_dev}:{file.st_ino}"
