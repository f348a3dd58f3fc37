"""Return the disk space of output that has been stored."""

import ctypes
from typing import Final

_BLOCK: Final = 4096  # bytes; a part of a file is released in such blocks
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # modes of fallocate(2)


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
