"""Parse and describe public ssh keys (`ssh-ed25519 AAAA...`); standard library only."""

import base64
import binascii
import hashlib
import itertools
import re
from typing import Final

_TYPE: Final = re.compile(r"ssh-(rsa|ed25519)|ecdsa-sha2-nistp\d{3}|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com")

_LENGTH: Final = 4
"""Bytes of the length field at the start of a key, which gives the length of the type's name."""


def parse(text: str) -> str:
    """Return type and key from a line of a `.pub` file, of `ssh-keyscan` or of a known-hosts file.

    Raises:
        ValueError: the line has no valid key.
    """
    words = text.split()
    found = next((pair for pair in itertools.pairwise(words) if _TYPE.fullmatch(pair[0])), None)
    if found is None:
        raise ValueError(f"{text[:80]!r} is not a public key: give a line of the machine's /etc/ssh/ssh_host_*_key.pub")
    type_, key = found
    try:
        data = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    named = type_.encode()
    if not data.startswith(len(named).to_bytes(_LENGTH, "big") + named) or len(data) <= _LENGTH + len(named):
        raise ValueError(f"{text[:80]!r} is damaged: it is not a key of type {type_}")
    return f"{type_} {key}"


def kind(key: str) -> str:
    """Return ssh's short name of a key's type, such as `ED25519`."""
    type_ = key.partition(" ")[0]
    name = "ECDSA" if "ecdsa" in type_ else type_.removeprefix("sk-").removeprefix("ssh-").partition("@")[0].upper()
    return f"{name}-SK" if type_.startswith("sk-") else name


def fingerprint(key: str) -> str:
    """Return the fingerprint of a key, `SHA256:...`."""
    digest = hashlib.sha256(base64.b64decode(key.partition(" ")[2])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
