"""Digests of the files in a directory of playbooks, within bounds of time, files and bytes.

A symbolic link counts by its target, and is not followed. A file of more than `MAX_FILE_BYTES` counts by its size and
the time of its last change. Sockets, pipes and devices count by their type alone.
"""

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MAX_ENTRIES: Final = 20_000
MAX_BYTES: Final = 256 << 20
MAX_FILE_BYTES: Final = 32 << 20
MAX_SECONDS: Final = 5.0

_CHUNK_BYTES: Final = 1 << 20

_LEFT_OUT: Final = frozenset({".git", "__pycache__"})
_LEFT_OUT_SUFFIXES: Final = (".retry", ".pyc")
"""Files that a run of ansible writes itself."""

_Stamp = tuple[int, int, int, int]
"""Inode, size, and times of the last changes of a file's content and properties."""


class _TooLarge(Exception):
    """The directory exceeds a bound; the text says which one."""


@dataclass
class Contents:
    """What is in a directory."""

    files: dict[str, str] = field(default_factory=dict)
    """The digest of each file, by its path in the directory."""
    bytes: int = 0
    unread: list[str] = field(default_factory=list)
    """Files and directories that cannot be read."""
    digest: str | None = None
    """Digest of all of it; None if it exceeds a bound."""
    reason: str | None = None
    """Why there is no digest."""


class DirectoryDigest:
    """Computes digests of a directory. A file that did not change since the last time is not read again."""

    def __init__(self, directory: Path, *, max_seconds: float = MAX_SECONDS) -> None:
        self._directory = directory
        self._max_seconds = max_seconds
        self._known: dict[str, tuple[_Stamp, str]] = {}

    def compute(self) -> Contents:
        """Read the directory. No file in it causes an error."""
        contents = Contents()
        deadline = time.monotonic() + self._max_seconds
        try:
            for path, entry in self._walk(contents):
                self._check(contents, deadline)
                try:
                    contents.files[_printable(path)] = self._digest(entry, path, contents, deadline)
                except OSError as error:
                    if error.errno == errno.ENOENT:  # it was removed since the directory was listed
                        continue
                    contents.unread.append(_printable(path))
                    contents.files[_printable(path)] = "unreadable"
        except _TooLarge as bound:
            contents.reason = str(bound)
            return contents
        whole = hashlib.sha256()
        for name in sorted(contents.files):
            whole.update(f"{name}\0{contents.files[name]}\n".encode())
        contents.digest = whole.hexdigest()
        return contents

    def _walk(self, contents: Contents) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Yield everything below the directory that is not a directory."""
        folders, seen = [""], 0
        while folders:
            folder = folders.pop()
            try:
                entries = os.scandir(self._directory / folder)
            except OSError:
                contents.unread.append(_printable(folder) or ".")
                continue
            with entries:
                for entry in entries:
                    seen += 1
                    if seen > MAX_ENTRIES:
                        raise _TooLarge(f"it has more than {MAX_ENTRIES} files")
                    if entry.name in _LEFT_OUT or entry.name.endswith(_LEFT_OUT_SUFFIXES):
                        continue
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(path)
                    else:
                        yield path, entry

    def _check(self, contents: Contents, deadline: float) -> None:
        if contents.bytes > MAX_BYTES:
            raise _TooLarge(f"it has more than {MAX_BYTES >> 20} MiB")
        if time.monotonic() > deadline:
            raise _TooLarge(f"it could not be read within {self._max_seconds:g} s")

    def _digest(self, entry: os.DirEntry[str], path: str, contents: Contents, deadline: float) -> str:
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            target = os.fsencode(os.readlink(entry.path))  # noqa: PTH115 -- Path would normalize it
            return f"link {hashlib.sha256(target).hexdigest()}"
        if not stat.S_ISREG(found.st_mode):
            return f"special {stat.S_IFMT(found.st_mode)}"
        kind = "program" if found.st_mode & stat.S_IXUSR else "file"
        if found.st_size > MAX_FILE_BYTES:
            return f"{kind} {found.st_size} {found.st_mtime_ns}"
        contents.bytes += found.st_size
        stamp = found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
        known = self._known.get(path)
        if known is None or known[0] != stamp:
            self._check(contents, deadline)
            known = stamp, self._content(entry.path, contents, deadline)
            self._known[path] = known
        return f"{kind} {known[1]}"

    def _content(self, file: str, contents: Contents, deadline: float) -> str:
        """Return the digest of a file's content, of not more than a large file has should it grow."""
        content, size = hashlib.sha256(), 0
        # Without blocking, should it have become a pipe since.
        with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:  # noqa: PTH123
            while size <= MAX_FILE_BYTES and (chunk := opened.read(_CHUNK_BYTES)):
                content.update(chunk)
                size += len(chunk)
                self._check(contents, deadline)
        return content.hexdigest()


def _printable(path: str) -> str:
    """Return a path as text that can be stored, also if its bytes are no text."""
    return os.fsencode(path).decode(errors="backslashreplace")
