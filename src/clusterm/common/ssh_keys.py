"""Public ssh keys, as `ssh-ed25519 AAAA...`: reading and describing them; standard library only."""

import base64
import binascii
import hashlib
import itertools
import re
from typing import Final

_TYPE: Final = re.compile(r"ssh-(rsa|ed25519)|ecdsa-sha2-nistp\d{3}|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com")

_LENGTH: Final = 4
"""Bytes of the number that says how long the type is, with which a key begins."""


def parse(text: str) -> str:
    """Return type and key out of a line of a `.pub` file, of `ssh-keyscan` or of a known-hosts file.

    Raises:
        ValueError: there is none.
    """
    words = text.split()
    found = next((pair for pair in itertools.pairwise(words) if _TYPE.fullmatch(pair[0])), None)
    if found is None:
        raise ValueError(f"{text[:80]!r} is no public key: give a line of the machine's /etc/ssh/ssh_host_*_key.pub")
    type_, key = found
    try:
        data = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    named = type_.encode()
    if not data.startswith(len(named).to_bytes(_LENGTH, "big") + named) or len(data) <= _LENGTH + len(named):
        raise ValueError(f"{text[:80]!r} is damaged: it is no key of the type {type_}")
    return f"{type_} {key}"


def kind(key: str) -> str:
    """Return what ssh calls the type of a key, as `ED25519`."""
    type_ = key.partition(" ")[0]
    name = "ECDSA" if "ecdsa" in type_ else type_.removeprefix("sk-").removeprefix("ssh-").partition("@")[0].upper()
    return f"{name}-SK" if type_.startswith("sk-") else name


def fingerprint(key: str) -> str:
    """Return the fingerprint of a key, as `SHA256:...`."""
    digest = hashlib.sha256(base64.b64decode(key.partition(" ")[2])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
