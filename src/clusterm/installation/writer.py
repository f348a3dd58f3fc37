"""Writes the files to start from, all of them or none."""

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from clusterm.errors import StartupError
from clusterm.installation.configuration import configuration

_SOURCES: Final = files("clusterm.installation") / "files"
_PLAYBOOKS: Final = ("site.yml", "cleanup.yml")

_PROGRAM: Final = "/usr/local/bin/clusterm"
"""The program that the unit starts, as it is shipped."""


def local_files(directory: Path) -> dict[Path, str]:
    """Return the files of a service that a user starts: a configuration, and playbooks beside it.

    Args:
        directory: an absolute path.
    """
    playbooks = directory / "playbooks"
    return {
        directory / "clusterm.toml": configuration({"ansible": {"playbook_location": str(playbooks)}}),
        **_playbooks(playbooks),
    }


def system_files(root: Path) -> dict[Path, str]:
    """Return the files of a service that systemd starts.

    Args:
        root: the directory that is or becomes `/`.
    """
    unit = _read("clusterm.service").replace(_PROGRAM, _program(root))
    settings = {
        "manager": {"state_dir": "/var/lib/clusterm"},
        "ansible": {"playbook_location": "/etc/clusterm/playbooks"},
    }
    etc = root / "etc"
    return {
        etc / "clusterm" / "clusterm.toml": configuration(settings),
        **_playbooks(etc / "clusterm" / "playbooks"),
        etc / "systemd" / "system" / "clusterm.service": unit,
        etc / "sysusers.d" / "clusterm.conf": _read("sysusers.conf"),
        etc / "tmpfiles.d" / "clusterm.conf": _read("tmpfiles.conf"),
    }


def write(wanted: Mapping[Path, str]) -> None:
    """Write files that do not exist yet, with the directories that they are in.

    Raises:
        StartupError: some exist, or cannot be written; nothing has changed.
    """
    if present := [str(file) for file in wanted if os.path.lexists(file)]:
        raise StartupError(f"there is already {' and '.join(present)}; nothing was written")
    written: list[Path] = []
    try:
        for file, text in wanted.items():
            for parent in reversed(file.parents):
                if not parent.exists():
                    parent.mkdir()
                    written.append(parent)
            with file.open("x") as stream:
                written.append(file)
                stream.write(text)
            file.chmod(0o644)
    except OSError as error:
        for path in reversed(written):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise StartupError(f"cannot write {error.filename}: {error.strerror}; nothing was written") from None


def _playbooks(directory: Path) -> dict[Path, str]:
    return {directory / name: _read(f"playbooks/{name}") for name in _PLAYBOOKS}


def _read(name: str) -> str:
    return (_SOURCES / name).read_text()


def _program(root: Path) -> str:
    """Return this program's path in the root; the usual path if the program is elsewhere."""
    found = Path(shutil.which(sys.argv[0]) or _PROGRAM).absolute()
    return f"/{found.relative_to(root)}" if found.is_relative_to(root) else _PROGRAM
