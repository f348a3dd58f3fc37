"""Replace standard streams that the parent process has closed, as `command >&-` does."""

import os
import sys
from typing import Final

_STREAMS: Final = ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY))


def replace_closed() -> None:
    """Open /dev/null in place of each closed stream. It must be called before anything else opens a file.

    Otherwise the next file, such as a database, would get the number of the stream, and output of this process and its
    children would be written into it. stdout is replaced by a file that cannot be written: writing to it fails, as it
    does for a full disk. Lost messages on stderr are no failure.
    """
    for number, flags in _STREAMS:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 -- it stays open
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")  # noqa: SIM115, PTH123
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
