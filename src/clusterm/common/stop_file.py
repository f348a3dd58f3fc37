"""A request to stop a job, in a file of the job's directory, for when the store cannot be written.

The space of the file is reserved when the job begins, because the disk may be full later.
"""

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

_NAME: Final = "stop"
_SIZE: Final = 4096
_MAX_TEXT: Final = 500


@dataclass(frozen=True)
class StopRequest:
    """A request to stop a job."""

    reason: str
    by: str
    """Name of the requester."""
    at: datetime
    cleanup: bool
    """Whether the cleanup playbook runs after a configure playbook that was stopped."""


def reserve(directory: Path) -> None:
    """Create the file without a request.

    Raises:
        OSError: there is no space for it.
    """
    file = os.open(directory / _NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, b" " * _SIZE)
        os.fsync(file)
    finally:
        os.close(file)


def write(directory: Path, request: StopRequest) -> None:
    """Write a request into the reserved space.

    Raises:
        OSError: the job has no such file, or it cannot be written.
    """
    values = asdict(request) | {"reason": request.reason[:_MAX_TEXT], "by": request.by[:_MAX_TEXT]}
    content = json.dumps(values | {"at": request.at.isoformat()}).encode()
    file = os.open(directory / _NAME, os.O_WRONLY)
    try:
        os.write(file, content.ljust(_SIZE))
        os.fsync(file)
    finally:
        os.close(file)


def read(directory: Path) -> StopRequest | None:
    """Return the request; None if there is none."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        values = json.loads((directory / _NAME).read_bytes())
        return StopRequest(**values | {"at": datetime.fromisoformat(values["at"])})
    return None
