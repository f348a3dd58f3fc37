"""Where the service keeps its state if nothing else is said, what both sides know of it, and files for one user."""

import os
from pathlib import Path
from typing import Final

TOKEN_FILE: Final = "token"  # noqa: S105 -- not a password
"""In the state directory."""


def default_state_dir() -> Path:
    """Root's state belongs to the machine, anybody else's to their home (XDG Base Directory Specification)."""
    import platformdirs  # noqa: PLC0415 -- clusterctl seldom asks for this

    return Path("/var/lib/clusterm") if os.geteuid() == 0 else platformdirs.user_state_path("clusterm")
