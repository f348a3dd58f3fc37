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


def write_private(file: Path, text: str) -> None:
    """Write a file that nobody else can read, whole or not at all, so that a power cut leaves the old one or the new.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    unfinished.replace(file)
    directory = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
