"""The file mode creation mask: it closes clusterm's files to other users, and does not apply to playbooks."""

import os
from typing import Final

_PRIVATE: Final = 0o077
_inherited: int | None = None


def restrict() -> None:
    """Close the files that this process creates from now on to other users."""
    global _inherited  # noqa: PLW0603 -- the mask belongs to the process, too
    before = os.umask(_PRIVATE)
    if _inherited is None:
        _inherited = before


def inherited() -> int:
    """Return the mask that the process was started with, for the programs that it runs on behalf of the operator."""
    if _inherited is None:
        before = os.umask(_PRIVATE)
        os.umask(before)
        return before
    return _inherited
