"""Retries while the service is unreachable, as during its restart."""

import time
from collections.abc import Callable
from typing import Final

from clusterctl.errors import ClusterctlError

PrintNote = Callable[[str], None]
"""Prints a line that is not part of the result."""

_MIN_DELAY_S: Final = 0.1
_MAX_DELAY_S: Final = 1.0


class Retry:
    """Delays between attempts, until a timeout since the last success.

    Args:
        note: prints once per outage that the service does not answer.
        timeout: seconds after which retries end.
    """

    def __init__(self, note: PrintNote, timeout: float) -> None:
        self._note = note
        self._timeout = timeout
        self._since: float | None = None
        self._pause = _MIN_DELAY_S

    def wait(self, error: ClusterctlError) -> None:
        """Sleep before the next attempt; raise the error if the timeout has passed."""
        if self._since is None:
            self._since = time.monotonic()
            self._note("clusterm does not answer; trying again")
        elif time.monotonic() - self._since > self._timeout:
            raise error
        time.sleep(self._pause)
        self._pause = min(self._pause * 2, _MAX_DELAY_S)

    def end(self) -> None:
        """Record a success: the next failure starts a new outage."""
        self._since = None
        self._pause = _MIN_DELAY_S
