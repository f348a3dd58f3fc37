"""Continue processes of a job that were stopped by a signal such as SIGSTOP."""

import os
import signal
import time
from typing import Final

from clusterm.executor import wrapper

MAX_STOPPED_S: Final = 20.0
"""Seconds after which a stopped process is continued if nothing waits for it."""


class StoppedProcess:
    """How long a process has been stopped. Look at it regularly."""

    def __init__(self) -> None:
        self._since: float | None = None  # monotonic time

    def continue_if_due(self, pid: int | None, *, at_once: bool) -> bool:
        """Continue the process if it is stopped, and return whether that was done.

        Args:
            pid: the process; None if it is not known, or not alive.
            at_once: whether something waits for the process, such as a cancel; otherwise it waits a while.
        """
        if pid is None or not wrapper.is_stopped(pid):
            self._since = None
            return False
        self._since = self._since or time.monotonic()
        if not at_once and time.monotonic() - self._since <= MAX_STOPPED_S:
            return False
        os.kill(pid, signal.SIGCONT)
        self._since = None
        return True
