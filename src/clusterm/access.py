"""Who may do what: tokens, their roles, and how often they may be used. Pure functions and values, no store."""

import hashlib
import math
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from clusterm.errors import BadRequest, quote
from clusterm.states import TokenRole

PREFIX: Final = "clusterm_"
"""What every token begins with, so that people, log filters and scanners for secrets know one when they see it."""

_BYTES: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_LIFETIME: Final = re.compile(r"([1-9]\d{0,4})([mhdw])", re.ASCII)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_RANKS: Final = {role: rank for rank, role in enumerate(TokenRole)}


@dataclass(frozen=True)
class Principal:
    """Who sends a request, as far as its token tells."""

    token_id: int
    name: str
    role: TokenRole

    def may(self, needed: TokenRole) -> bool:
        """Tell whether a role is enough for what needs another one."""
        return _RANKS[self.role] >= _RANKS[needed]


class Bucket:
    """A token bucket: so many requests at once, and as many more as a minute brings.

    Args:
        per_minute: how many.
        now: seconds of a clock that never goes back.
    """

    def __init__(self, per_minute: int, now: float) -> None:
        self._rate = per_minute / 60
        self._most = float(per_minute)
        self._left = self._most
        self._at = now

    def take(self, now: float) -> int:
        """Take one, and return 0; or, if there is none left, the seconds after which there will be."""
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return math.ceil((1 - self._left) / self._rate)
        self._left -= 1
        return 0


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
    if not (given := _LIFETIME.fullmatch(text)):
        raise BadRequest(f"{quote(text)} is no lifetime of a token: say a number with a unit, as 12h, 30d or 8w")
    return timedelta(**{_UNITS[given[2]]: int(given[1])})
