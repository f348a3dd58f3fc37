"""The versions of ansible-core that tests run: the pinned one, and those that `make ansible-versions` installs."""

import sys
from importlib import metadata
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2]

PINNED: Final = ".".join(metadata.version("ansible-core").split(".")[:2])
"""The version in the virtual environment of the tests, which `constraints.txt` pins."""

OTHERS: Final = sorted(pins.stem for pins in (_ROOT / "tests/ansible/versions").glob("*.txt"))
"""Versions that are tested in addition. Some need a Python that is not installed everywhere."""

ALL: Final = sorted({PINNED, *OTHERS}, key=lambda version: tuple(map(int, version.split("."))))


def executable(version: str) -> Path:
    """Return the path of a version's ansible-playbook, which may be absent."""
    folder = Path(sys.executable).parent if version == PINNED else _ROOT / ".venv-ansible" / version / "bin"
    return folder / "ansible-playbook"


def is_there(version: str) -> bool:
    """Return whether a version is installed."""
    return executable(version).is_file()
