"""Reads the commit, branch and changes of a directory in a git work tree, by the program `git`.

git runs without the configuration of users and of the machine, without hooks, prompts and the network, and changes
nothing in the repository.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from clusterm.common.utf8_locale import utf8_locale

MAX_SECONDS: Final = 5.0
"""For all calls together."""

MAX_CHANGED: Final = 20
_MAX_OUTPUT_BYTES: Final = 64 << 10

_ENVIRONMENT: Final = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}
_OPTIONS: Final = (
    "--no-pager",
    *("-c", "safe.directory=*"),  # the directory often belongs to another user
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.quotePath=false"),
)


@dataclass
class WorkTree:
    """The state of a directory in a git work tree."""

    commit: str
    branch: str | None
    """None if no branch is checked out."""
    dirty: bool | None = None
    """Whether files differ from the commit, or are not part of it; None if git did not tell in time."""
    changed: list[str] = field(default_factory=list)
    """The first files that do, by their paths in the directory."""


def read_work_tree(directory: Path) -> WorkTree | None:
    """Return the state of a directory; None if it is not part of a commit, or if there is no git."""
    git = shutil.which("git")
    if git is None:
        return None
    deadline = time.monotonic() + MAX_SECONDS
    # `HEAD:./` fails for a directory that the commit of a repository around it does not have.
    output = _run(git, directory, deadline, "rev-parse", "--show-prefix", "HEAD", "HEAD:./", "--abbrev-ref", "HEAD")
    lines = (output or b"").decode(errors="backslashreplace").split("\n")
    if len(lines) < 4:
        return None
    prefix, commit, _, branch = lines[:4]
    tree = WorkTree(commit, None if branch == "HEAD" else branch)
    status = _run(git, directory, deadline, "status", "--porcelain", "-z", "--no-renames", "--", ".")
    if status is not None:
        entries = status.decode(errors="backslashreplace").split("\0")[:-1]
        tree.dirty = bool(entries)
        tree.changed = [entry[3:].removeprefix(prefix) for entry in entries[:MAX_CHANGED]]
    return tree


def _run(git: str, directory: Path, deadline: float, *arguments: str) -> bytes | None:
    """Return the first output of git; None if it fails or does not end in time."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                [git, *_OPTIONS, *arguments],
                cwd=directory,
                env=environment | utf8_locale(environment) | _ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return None
        try:
            process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None
        output.seek(0)
        return output.read(_MAX_OUTPUT_BYTES) if process.returncode == 0 else None
