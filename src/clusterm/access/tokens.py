"""Access tokens: format, digest, names and lifetimes."""

import hashlib
import re
import secrets
from datetime import timedelta
from typing import Final

from clusterm.common.durations import parse_duration
from clusterm.errors import BadRequest, quote
from clusterm.problem_codes import ProblemCode

PREFIX: Final = "clusterm_"
"""Prefix of every token, by which users, log filters and secret scanners recognize it."""

_BYTES: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_LIFETIME: Final = re.compile(r"[1-9]\d{0,4}[mhdw]", re.ASCII)


def new_token() -> str:
    """Return a new token with 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def digest(token: str) -> str:
    """Return the digest by which a token is stored. The token is random, so a plain hash suffices."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def check_name(name: str) -> None:
    """Check that a name is valid in tables, logs and events.

    Raises:
        BadRequest: it is not.
    """
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{quote(name)} cannot be the name of a token: up to 64 letters, digits and any of . _ @ -",
            ProblemCode.INVALID_TOKEN_NAME,
        )


def parse_lifetime(text: str) -> timedelta:
    """Parse the lifetime of a token, such as `30d`.

    Raises:
        BadRequest: the text is not a lifetime.
    """
    if not _LIFETIME.fullmatch(text):
        raise BadRequest(
            f"{quote(text)} is no lifetime of a token: say a number with a unit, as 12h, 30d or 8w",
            ProblemCode.INVALID_TOKEN_LIFETIME,
        )
    return parse_duration(text)
