"""Find the installed version of ansible-core and of collections, without running a program."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from clusterm.ansible.command import configured_value, find_executable, resolved

MAX_COLLECTIONS: Final = 500
_MAX_MANIFEST_BYTES: Final = 256 << 10
_DEFAULT_PATH: Final = "~/.ansible/collections:/usr/share/ansible/collections"
_VERSION: Final = re.compile(r"^version:\s*[\"']?([^\s\"'#]+)", re.MULTILINE)


def ansible_core(executable: str) -> str | None:
    """Return the version of ansible-core that a program belongs to; None if it is not known.

    Args:
        executable: the configured ansible-playbook.
    """
    found = {
        metadata.name.removeprefix("ansible_core-").removesuffix(".dist-info")
        for folder in _packages(executable)
        for metadata in folder.glob("ansible_core-*.dist-info")
    }
    return found.pop() if len(found) == 1 else None


def collections(executable: str, location: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of the collections that a playbook can use, by name: the first `MAX_COLLECTIONS`.

    Args:
        executable: the configured ansible-playbook.
        location: the directory of the playbooks.
        environment: result of `ansible_environment`.
    """
    path, folder = configured_value(environment, "ANSIBLE_COLLECTIONS_PATH", "defaults", "collections_path")
    parts = [resolved(part, folder or location) for part in (path or _DEFAULT_PATH).split(":") if part]
    found: dict[str, str] = {}
    for root in [location / "collections", *parts, *_packages(executable)]:
        parent = root.parent if root.name == "ansible_collections" else root
        try:
            candidates = sorted(parent.glob("ansible_collections/*/*/"))
        except OSError:
            continue
        for candidate in candidates:
            name = f"{candidate.parent.name}.{candidate.name}"
            if len(found) < MAX_COLLECTIONS and name not in found and (known := _version(candidate)):
                found[name] = known
    return found


def _packages(executable: str) -> Iterator[Path]:
    """Yield the directories of the Python packages that a program uses, as far as its path shows them."""
    program = find_executable(executable)
    if program is not None:
        for prefix in dict.fromkeys([Path(program).parent.parent, Path(program).resolve().parent.parent]):
            yield from prefix.glob("lib/python3*/*-packages")


def _version(collection: Path) -> str | None:
    """Return the version of a collection: of an installed one, or of its source."""
    try:
        with (collection / "MANIFEST.json").open("rb") as manifest:
            return str(json.loads(manifest.read(_MAX_MANIFEST_BYTES))["collection_info"]["version"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        with (collection / "galaxy.yml").open("rb") as source:
            match = _VERSION.search(source.read(_MAX_MANIFEST_BYTES).decode(errors="replace"))
    except OSError:
        return None
    return match[1] if match else None
