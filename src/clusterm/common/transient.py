"""Which errors of the operating system may pass by themselves, so that a retry may succeed."""

import errno
from typing import Final

_TRANSIENT_ERRNOS: Final = frozenset(
    {
        errno.EAGAIN,  # no process or thread can be created now
        errno.EBUSY,
        errno.EDQUOT,
        errno.EINTR,
        errno.EIO,  # a disk or its network connection may come back
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.EROFS,  # a file system is made read-only after an error of its disk
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)


def is_transient(error: BaseException) -> bool:
    """Return whether an operation that failed with an error may succeed later, without a change by an operator."""
    return isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNOS
