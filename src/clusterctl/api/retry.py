"""Bears with a service that is gone for a while, as it is while it restarts."""

import time
from collections.abc import Callable
from typing import Final

from clusterctl.errors import ClusterctlError

Note = Callable[[str], None]
"""Tells the user what is not part of the result."""

_MIN_DELAY_S: Final = 0.1
_MAX_DELAY_S: Final = 1.0


class Retry:
    """The time without the service since it was last heard of.

    Args:
        note: tells the user that there is one.
        patience: seconds after which to give up.
    """

    def __init__(self, note: Note, patience: float) -> None:
        self._note = note
        self._patience = patience
        self._since: float | None = None
        self._pause = _MIN_DELAY_S

    def wait(self, error: ClusterctlError) -> None:
        """Pause before the next attempt; raise the error if there have been attempts for long enough."""
        if self._since is None:
            self._since = time.monotonic()
            self._note("clusterm does not answer; trying again")
        elif time.monotonic() - self._since > self._patience:
            raise error
        time.sleep(self._pause)
        self._pause = min(self._pause * 2, _MAX_DELAY_S)

    def end(self) -> None:
        """The service was heard of."""
        self._since = None
        self._pause = _MIN_DELAY_S
