"""A line at the foot of the terminal that says what a job is at, while its log goes by above."""

import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final

from clusterctl.api.client import Client
from clusterctl.api.models import Json
from clusterctl.errors import ClusterctlError

_REFRESH_INTERVAL_S: Final = 1.0
"""Seconds between looks at the job."""

_ERASE: Final = "\r\x1b[K"


def shown_below(lines: Iterator[Json], client: Client, job: int, describe: Callable[[Json], str]) -> Iterator[Json]:
    """Yield log lines, and while the next one is awaited say on stderr what the job is at, if that is a terminal.

    Args:
        lines: the lines.
        client: the service.
        job: the job's id.
        describe: says in a line what a job, as the service sends it, is at.
    """
    if not sys.stderr.isatty():
        yield from lines
        return
    foot = _Foot()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_REFRESH_INTERVAL_S):
            try:
                text = describe(client.job(str(job), logs=False))
            except ClusterctlError:
                text = ""  # whoever reads the lines tells of it
            foot.write(text)

    threading.Thread(target=look, name="progress", daemon=True).start()
    try:
        for line in lines:
            foot.hide()
            yield line
            if not line.get("partial"):
                foot.allow()
    finally:
        ended.set()
        foot.hide()


class _Foot:
    """The line, which must be gone before anything else is printed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._allowed = True
        self._there = False

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
        if text or self._there:
            sys.stderr.write(_ERASE + text)
            sys.stderr.flush()
        self._there = bool(text)
