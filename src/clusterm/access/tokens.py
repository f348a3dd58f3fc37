"""Access tokens: format, digest, names and lifetimes."""

import hashlib
import re
import secrets
from datetime import timedelta
from typing import Final

from clusterm.common.durations import parse_duration
from clusterm.errors import BadRequest, quote

PREFIX: Final = "clusterm_"
"""What every token begins with, so that people, log filters and scanners for secrets know one when they see it."""

_BYTES: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_LIFETIME: Final = re.compile(r"[1-9]\d{0,4}[mhdw]", re.ASCII)


def new_token() -> str:
    """Make a token that nobody can guess: 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def digest(token: str) -> str:
    """Return what is stored of a token. It is random, so a plain hash keeps it as well as a slow one would."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def check_name(name: str) -> None:
    """Check that a name can stand in tables, logs and events.

    Raises:
        BadRequest: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise BadRequest(f"{quote(name)} cannot be the name of a token: up to 64 letters, digits and any of . _ @ -")


def parse_lifetime(text: str) -> timedelta:
    """Return how long a token is good for, given as `30d`.

    Raises:
        BadRequest: it is given otherwise.
    """
    if not _LIFETIME.fullmatch(text):
        raise BadRequest(f"{quote(text)} is no lifetime of a token: say a number with a unit, as 12h, 30d or 8w")
    return parse_duration(text)
