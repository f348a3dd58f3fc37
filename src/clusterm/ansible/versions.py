"""Report the versions of clusterm, its platform and ansible."""

import platform
import re
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from clusterm.ansible.command import clean_environment, find_executable
from clusterm.schemas import Versions

_VERSION_TIMEOUT_S: Final = 20.0  # seconds


def versions(executable: str, *, sqlite: str, postgresql: str | None) -> Versions:
    """Return the versions of clusterm, its platform and ansible.

    Args:
        executable: the configured ansible-playbook.
        sqlite: the version of the SQLite library.
        postgresql: the version of the PostgreSQL server; None if there is none, or if it cannot be asked.
    """
    path = find_executable(executable)
    return Versions(
        clusterm=version("clusterm"),
        ansible=None if path is None else _ansible(path, Path(path).stat().st_mtime_ns),
        ansible_playbook=path,
        python=platform.python_version(),
        sqlite=sqlite,
        postgresql=postgresql,
        os=_os(),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
    )


@lru_cache(maxsize=8)
def _ansible(path: str, _changed: int) -> str | None:
    """Return ansible-core's version; a program outside this Python's environment is run for it, about a second."""
    if Path(path).parent == Path(sys.executable).parent:
        try:
            return version("ansible-core")
        except PackageNotFoundError:
            return None
    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=clean_environment(),
            timeout=_VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"ansible-playbook \[core (\S{1,50})\]", done.stdout.decode(errors="replace"))
    return match[1] if match else None


def _os() -> str | None:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return None
