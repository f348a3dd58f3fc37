"""Write files that only their owner can read, and survive a power cut."""

import os
from pathlib import Path


def write_private(file: Path, text: str) -> None:
    """Write a file with mode 0600 atomically: after a power cut it has either the old or the new content.

    Raises:
        OSError: the file cannot be written.
    """
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    unfinished.replace(file)
    sync_directory(file.parent)


def sync_directory(directory: Path) -> None:
    """Write the names in a directory to the disk, so that a power cut does not undo a rename.

    Raises:
        OSError: the directory cannot be written.
    """
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
