"""Read files without waiting, write private files that survive a power cut, and release the space of parts of files."""

import ctypes
import errno
import os
import stat
from pathlib import Path
from typing import Final

_BLOCK: Final = 4096  # bytes; a part of a file is released in such blocks
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # modes of fallocate(2)


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


def release_space(opened: int, end: int) -> None:
    """Return the space of the beginning of a file to the disk; the size of the file, and other offsets, remain.

    On a file system that cannot release a part of a file, it has no effect.

    Args:
        opened: file descriptor of the file, open for writing.
        end: offset before which the content is not needed; it is lost in whole blocks.
    """
    fallocate = ctypes.CDLL(None).fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
    if (length := end // _BLOCK * _BLOCK) > 0:
        fallocate(opened, _KEEP_SIZE | _PUNCH_HOLE, 0, length)
