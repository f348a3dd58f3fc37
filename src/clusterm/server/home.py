"""Give ansible a home directory, which it needs for its temporary files and sockets."""

import logging
import os
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

_OTHER_PLACES: Final = ("ANSIBLE_HOME", "ANSIBLE_LOCAL_TEMP")
"""Variables of ansible with which it may not need the home directory."""


def ensure_home(state_dir: Path) -> None:
    """Set HOME to the state directory if this user has no home directory that ansible can write to.

    Containers may run as any user: without an entry in /etc/passwd, or with the home directory `/`.
    """
    home = _home()
    if home is not None and (any(name in os.environ for name in _OTHER_PLACES) or _can_write(home)):
        return
    log.info("HOME is %s, because the user has no home directory that can be written", state_dir)
    os.environ["HOME"] = str(state_dir)


def _can_write(home: Path) -> bool:
    return any(os.access(folder, os.W_OK | os.X_OK) for folder in (home, home / ".ansible"))


def _home() -> Path | None:
    """Return the home directory; None if there is none."""
    try:
        return Path.home()
    except RuntimeError:
        return None
