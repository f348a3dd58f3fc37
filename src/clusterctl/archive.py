"""Writes a tar.gz file member by member; removes the file if that fails."""

import gzip
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from clusterctl.errors import CannotWrite, Usage

_IN_MEMORY: Final = 1 << 20  # bytes of a member that are kept in memory until they are packed


class Archive:
    """An archive that is being written. Its files belong to root and are readable by all.

    Args:
        tar: the archive.
    """

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._made = int(time.time())

    def add(self, name: str, pieces: Iterable[str]) -> None:
        """Add a file. If the iteration of `pieces` raises an exception, the file is not added."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as content:
            for piece in pieces:
                content.write(piece.encode(errors="backslashreplace"))
            about = tarfile.TarInfo(name)
            about.size, about.mtime, about.mode = content.tell(), self._made, 0o644
            about.uname = about.gname = "root"
            content.seek(0)
            self._tar.addfile(about, content)


@contextmanager
def written(target: str, *, force: bool) -> Iterator[Archive]:
    """Write an archive to a file, which appears when the archive is complete, or to standard output.

    Args:
        target: the file; `-` is standard output.
        force: whether to overwrite an existing file.

    Raises:
        Usage: the target exists, or is not a regular file.
        CannotWrite: the file cannot be written.
    """
    if target == "-":
        if sys.stdout.isatty():
            raise Usage("cannot write the archive to a terminal: give a file, or redirect standard output")
        with _packed(sys.stdout.buffer) as archive:
            yield archive
        return
    path = Path(target)
    if path.exists() and not (force and path.is_file()):
        advice = "give another file, or overwrite it with --force" if path.is_file() else "give another file"
        raise Usage(f"{target} exists: {advice}")
    try:
        file = tempfile.NamedTemporaryFile(dir=path.parent, prefix=".clusterm-", suffix=".part", delete=False)  # noqa: SIM115
    except OSError as error:
        raise CannotWrite(f"cannot write {target}: {error.strerror}") from None
    try:
        with file, _packed(file) as archive:
            yield archive
        with Path(file.name).open("rb") as complete:
            os.fsync(complete.fileno())
        Path(file.name).replace(path)
    except OSError as error:
        raise CannotWrite(f"cannot write {target}: {error.strerror}; the incomplete file was removed") from None
    finally:
        Path(file.name).unlink(missing_ok=True)


@contextmanager
def _packed(out: IO[bytes]) -> Iterator[Archive]:
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=out) as packed,
        tarfile.open(mode="w|", fileobj=packed) as tar,
    ):
        yield Archive(tar)
