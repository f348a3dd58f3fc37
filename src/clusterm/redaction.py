"""Hiding secrets in what is shown."""

import re
from typing import Any, Final

MASK: Final = "********"
"""What stands in the place of a secret; sent back by a client, it means the value that it hides."""

_SECRET: Final = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|credential|private_?key|api_?key|access_?key|auth_?key", re.IGNORECASE
)


def redact(value: Any) -> Any:
    """Return a copy of a JSON value with the values masked whose keys look secret."""
    if isinstance(value, dict):
        return {key: MASK if _hides(key, item) else redact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [redact(item) for item in value]
    return value


def restore(value: Any, original: Any) -> Any:
    """Return a copy of a JSON value with every mask replaced by what it hides in the original."""
    if isinstance(value, dict):
        known = original if isinstance(original, dict) else {}
        return {
            key: known[key] if item == MASK and key in known else restore(item, known.get(key))
            for key, item in value.items()
        }
    if isinstance(value, list):
        known_items = original if isinstance(original, list) and len(original) == len(value) else [None] * len(value)
        return [restore(item, known) for item, known in zip(value, known_items, strict=True)]
    return value


def _hides(key: str, item: Any) -> bool:
    return bool(_SECRET.search(key)) and item not in (None, "", [], {})
