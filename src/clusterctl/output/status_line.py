"""A status line at the bottom of the terminal that shows a job's progress below its log."""

import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from clusterctl.api.models import Json
from clusterctl.api.rest import RestClient
from clusterctl.errors import ClusterctlError

_REFRESH_INTERVAL_S: Final = 1.0
"""Seconds between requests for the job."""

_ERASE: Final = "\r\x1b[K"


def with_status_line(
    lines: Iterator[Json], client: RestClient, job: int, describe: Callable[[Json], str]
) -> Iterator[Json]:
    """Yield log lines; between lines, show the job's progress on stderr if stderr is a terminal.

    Args:
        lines: the lines.
        client: the service.
        job: the job's id.
        describe: returns the progress of a job, as the service sends it, as one line.
    """
    if not sys.stderr.isatty():
        yield from lines
        return
    line_below = _StatusLine()
    ended = threading.Event()

    def refresh() -> None:
        while not ended.wait(_REFRESH_INTERVAL_S):
            try:
                text = describe(client.job(str(job), logs=False))
            except ClusterctlError:
                text = ""  # the reader of the lines reports the error
            line_below.write(text)

    threading.Thread(target=refresh, name="progress", daemon=True).start()
    try:
        for line in lines:
            line_below.hide()
            yield line
            if not line.get("partial"):
                line_below.allow()
    finally:
        ended.set()
        line_below.hide()


@contextmanager
def status_line() -> Iterator["_StatusLine"]:
    """Return a status line for a block that prints nothing else; it stays empty unless stderr is a terminal."""
    line = _StatusLine()
    if not sys.stderr.isatty():
        line.hide()
    try:
        yield line
    finally:
        line.hide()


class _StatusLine:
    """The status line, which must be erased before anything else is printed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._allowed = True
        self._visible = False

    def write(self, text: str) -> None:
        with self._lock:
            if self._allowed:
                width = shutil.get_terminal_size().columns - 1
                self._put(text if len(text) <= width else text[: width - 1] + "…")

    def hide(self) -> None:
        with self._lock:
            self._allowed = False
            self._put("")

    def allow(self) -> None:
        with self._lock:
            self._allowed = True

    def _put(self, text: str) -> None:
        if text or self._visible:
            self._visible = True  # before it is, because Ctrl-C may come in between
            sys.stderr.write(_ERASE + text)
            sys.stderr.flush()
        self._visible = bool(text)
