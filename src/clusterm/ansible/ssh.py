"""Configure ansible's ssh to check the trusted host keys of nodes by name, independent of their addresses.

Keys that are trusted when a job begins are written to a file in its directory; ssh adds keys that it trusts at first
use to another file there. So concurrent jobs share no file, and an executor that resumes a job finds its new keys.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from clusterm.common import ssh_keys
from clusterm.enums import HostKeyChecking
from clusterm.settings import AnsibleSettings

KNOWN: Final = "known_hosts"
"""File, in a job's directory, of the keys that were trusted when it began."""

_DIGITS: Final = 16
"""Digits of a digest in the name of a control socket, which must be short."""

LEARNED: Final = "learned_hosts"

_REFUSED: Final = re.compile(
    r"(?P<changed>Host key for (?P<known_as>\S+) has changed)|host key is known for (?P<unknown>\S+) and you have"
)
"""Messages of ssh when it rejects a host key."""

_SENT: Final = re.compile(r"fingerprint for the (\S+) key sent by the remote host is\s+(SHA256:[A-Za-z0-9+/]+)")


def connect(
    inventory: dict[str, Any],
    ansible: AnsibleSettings,
    known: Mapping[str, Sequence[str]],
    directory: Path,
    ssh_args: str,
    control_path: str | None,
) -> None:
    """Add the ssh options for checking host keys to an inventory.

    The options are in `ansible_ssh_args`, which ansible puts first on ssh's command line, where the first value takes
    precedence: neither an `ansible.cfg` nor the environment can disable the check, and `ansible_ssh_common_args`
    remains available for jump hosts.
    Connections that ssh keeps open after a job are reused only by jobs that accept the same key.

    Args:
        inventory: the inventory, changed in place.
        ansible: the configuration.
        known: the trusted keys, by host.
        directory: the job's directory.
        ssh_args: the value of `ansible_ssh_args` in ansible's own configuration.
        control_path: path of control sockets in ansible's own configuration; None if not configured.
    """
    everywhere = inventory["all"]
    is_on = ansible.host_key_checking is not HostKeyChecking.OFF
    common = ansible_options(ansible.host_key_checking, directory)
    everywhere["vars"] |= {"ansible_host_key_checking": is_on, "ansible_ssh_args": f"{common} {ssh_args}".strip()}
    strict = ansible_options(HostKeyChecking.STRICT, directory)
    for group in everywhere["children"].values():
        for name, host_vars in group["hosts"].items():
            own = f"-o HostKeyAlias={_alias(name)} {strict if is_on and name in known else common}"
            host_vars["ansible_ssh_args"] = f"{own} {host_vars.get('ansible_ssh_args', ssh_args)}".strip()
            if control_path is None:
                accepted = (known.get(name) or str(directory)) if is_on else None
                text = json.dumps([name, host_vars["ansible_host"], accepted])
                digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
                host_vars.setdefault("ansible_control_path", f"%(directory)s/{digest}-%%p-%%r")


def known_hosts(known: Mapping[str, Iterable[str]]) -> str:
    """Return the text of a known-hosts file."""
    return "".join(f"{_alias(name)} {key}\n" for name, keys in known.items() for key in keys)


def learned(directory: Path, targets: Iterable[str]) -> dict[str, list[str]]:
    """Return the keys that ssh trusted at first use in a job.

    Args:
        directory: the job's directory.
        targets: names of the job's nodes, and addresses.
    """
    return _read(directory / LEARNED, targets)


def explain(message: str, directory: Path) -> str:
    """Return an explanation of a rejected host key, or the message unchanged if that is not the cause.

    Args:
        message: ansible's message about an unreachable node.
        directory: the job's directory.
    """
    refused = _REFUSED.search(message)
    if refused is None:
        return message
    name = _name(refused["known_as"] or refused["unknown"])  # a delegated task connects to another host
    if not refused["changed"]:
        return (
            f"the host key of {name} is not known, and ansible.host_key_checking is strict: read it on the machine, "
            f"from /etc/ssh/ssh_host_ed25519_key.pub, and run: clusterctl node trust {name} KEY"
        )
    keys = {**_read(directory / LEARNED, [name]), **_read(directory / KNOWN, [name])}.get(name, [])
    was = " or ".join(f"{ssh_keys.kind(key)} {ssh_keys.fingerprint(key)}" for key in keys)
    sent = _SENT.search(message)
    now = f" and is {sent[1]} {sent[2]}" if sent else ""
    return (
        f"the host key of {name} has changed: it was {was or 'another key'}{now}. If the machine was reinstalled, "
        f"run: clusterctl node forget-key {name}. If not, another machine answers in its place"
    )


def ansible_options(checking: HostKeyChecking, directory: Path) -> str:
    """Return the options with which ssh reads a job's known-hosts files instead of its own."""
    if checking is HostKeyChecking.OFF:
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
    else:
        files = " ".join(f'"{directory / name}"'.replace("%", "%%") for name in (LEARNED, KNOWN))
        options = [
            f"StrictHostKeyChecking={'yes' if checking is HostKeyChecking.STRICT else 'accept-new'}",
            f"UserKnownHostsFile={files}",
            "HashKnownHosts=no",
            "UpdateHostKeys=no",
            "CheckHostIP=no",
        ]
    # Otherwise each first use adds a warning in front of ssh's other messages.
    return " ".join(f"-o {shlex.quote(option)}" for option in [*options, "LogLevel=ERROR"])


def _read(file: Path, targets: Iterable[str]) -> dict[str, list[str]]:
    """Return the keys in a file by target."""
    names = {_alias(target): target for target in targets}
    found: dict[str, list[str]] = {}
    try:
        lines = file.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return found
    for line in lines:
        name = names.get(line.partition(" ")[0])
        if name is None:
            continue
        try:
            found.setdefault(name, []).append(ssh_keys.parse(line))
        except ValueError:  # an incomplete line, written when the disk was full
            continue
    return found


def _alias(name: str) -> str:
    """Return the name under which ssh knows a host. ssh ignores the case of letters, so `Web1` becomes `+web1`."""
    return re.sub(r"[A-Z]", lambda letter: f"+{letter[0].lower()}", name)


def _name(alias: str) -> str:
    """Return the name of the host that ssh knows under an alias."""
    return re.sub(r"\+([a-z])", lambda letter: letter[1].upper(), alias)
