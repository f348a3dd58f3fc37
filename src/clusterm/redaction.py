"""Hiding secrets in what is shown."""

import re
from typing import Any, Final

MASK: Final = "********"
"""What stands in the place of a secret; sent back by a client, it means the value that it hides."""

_SECRET: Final = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|credential|private_?key|api_?key|access_?key|auth_?key", re.IGNORECASE
)

_IN_TEXT: Final = re.compile(
    r"""((?:pass(?:word|wd|phrase)?|(?:secret|token|credential|private_?key|api_?key|access_?key|auth_?key)[\w-]{0,40}"""
    r"""|authorization)\\?["']?\s{0,3}[:=]\s{0,3}(?:(?:bearer|basic)\s{1,3})?)"""
    r"""(?:\\?"[^"]*"?|\\?'[^']*'?|[^\s,;&"'}\]]+)""",
    re.IGNORECASE,
)
_IN_URL: Final = re.compile(r"(://[^/\s:@]{1,100}:)[^/\s@]{1,200}@")


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


def redact_text(text: str) -> str:
    """Return a text with the values masked that stand after a name that looks secret, and passwords in URLs.

    Where a value stands alone nothing tells that it is one.
    """
    return _IN_URL.sub(rf"\g<1>{MASK}@", _IN_TEXT.sub(rf"\g<1>{MASK}", text))
