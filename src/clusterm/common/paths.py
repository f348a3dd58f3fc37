"""Default location of the service's state, shared by service and client."""

import os
from pathlib import Path
from typing import Final

TOKEN_FILE: Final = "token"  # noqa: S105 -- not a password
"""Name, in the state directory, of the file with the local token."""


def default_state_dir() -> Path:
    """Return `/var/lib/clusterm` for root, else a directory in the user's XDG state home.

    Raises:
        RuntimeError: the user has no home directory.
    """
    import platformdirs  # noqa: PLC0415 -- clusterctl seldom needs it

    return Path("/var/lib/clusterm") if os.geteuid() == 0 else platformdirs.user_state_path("clusterm")
