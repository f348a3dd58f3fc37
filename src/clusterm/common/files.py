"""Read files without waiting for them, and write private files that survive a power cut."""

import errno
import os
import stat
from pathlib import Path


def read_regular(file: Path) -> bytes:
    """Read a regular file. Opening a FIFO would wait for a writer, and reading a device may never end.

    Raises:
        OSError: the file cannot be read or is not a regular one.
    """
    _check_regular(file, file.stat().st_mode)  # before it is opened, because opening a device may have an effect
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:
        _check_regular(file, os.fstat(opened.fileno()).st_mode)
        return opened.read()


def _check_regular(file: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(file))


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
