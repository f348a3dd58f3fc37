"""Parts of node names, which are `<label>-<serial>`; standard library only."""

import hashlib
import re
from typing import Final

from clusterm.common.addresses import SSH_PORT, Place

MAX_PART_LENGTH: Final = 128
"""Characters of a label or a serial."""

PART_PATTERN: Final = rf"[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,{MAX_PART_LENGTH - 2}}}[A-Za-z0-9])?"
"""A label or a serial: characters without special meaning in ansible's inventory, a path or a shell."""

_DIGITS: Final = 8
"""Digits of the digest that distinguishes texts with the same beginning."""


def fit_part(text: str) -> str:
    """Return a text as a valid label or serial: `VMware-56 4d 8a` becomes `VMware-56-4d-8a`.

    A text that is too long is cut, and ends in a digest of the whole.

    Returns:
        An empty text if no character is valid.
    """
    fitted = _trim(re.sub(r"[^A-Za-z0-9._-]+", "-", text))
    if len(fitted) <= MAX_PART_LENGTH:
        return fitted
    digest = hashlib.sha256(fitted.encode()).hexdigest()[:_DIGITS]
    return f"{_trim(fitted[: MAX_PART_LENGTH - _DIGITS - 1])}-{digest}"


def serial_from_place(place: Place) -> str:
    """Return the serial of a node without one, made from its address and from a port other than 22."""
    port = f"-{place.port}" if place.port not in {None, SSH_PORT} else ""
    return fit_part(f"{place.address}{port}".replace(":", "-"))  # each by itself, for two differ from one


def _trim(text: str) -> str:
    return text.strip("._-")
