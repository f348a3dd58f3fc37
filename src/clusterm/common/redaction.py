"""Mask secrets in output."""

import importlib
import json
import re
from collections.abc import Collection, Iterator
from typing import Any, Final

_parser: Final[Any] = importlib.import_module("re._parser")
"""The only parser of regular expressions in the library; type checkers do not know it."""

MASK: Final = "********"
"""Replacement for a secret. When a client sends the mask back, it stands for the masked value."""

SECRET_PATTERN: Final = (
    r"pass((word|wd|phrase)s?)?$|secret|token|credential|private_?key|api_?key|access_?key|auth_?key"  # noqa: S105
)
"""Default pattern of the names of secrets."""

_NAME_IN_TEXT: Final = re.compile(
    r"""(?:pass(?:(?:word|wd|phrase)s?)?"""
    r"""|(?:secret|token|credential|private_?key|api_?key|access_?key|auth_?key)[\w-]{0,40}"""
    r"""|authorization)\\?["']?\s{0,3}[:=]\s{0,3}(?:(?:bearer|basic)\s{1,3})?(?=[^\s,;&}\]])""",
    re.IGNORECASE,
)
_VALUE_IN_TEXT: Final = re.compile(r"""\\?"[^"]*"?|\\?'[^']*'?|[^\s,;&"'}\]]+""")
_BRACKET: Final = re.compile(r"""\\?"[^"]*"?|\\?'[^']*'?|[\[{]|[\]}]""")
"""A bracket, or a quoted text, in which brackets have no meaning."""

_IN_URL: Final = re.compile(r"(://[^/\s:@]{1,100}:)[^/\s@]{1,200}@")


_MAX_NAME_LENGTH: Final = 256
"""Characters of a name. A longer one is secret, because some patterns take long for it."""


def has_content(value: Any) -> bool:
    """Return whether a JSON value has anything to mask."""
    return value not in (None, "", [], {})


class SecretNames:
    """Decide by its name whether a value is secret.

    Args:
        pattern: a regular expression for parts of names, case-insensitive; empty matches no name.
        names: further names, in full.

    Raises:
        re.error: the pattern is not a regular expression.
    """

    def __init__(self, pattern: str = SECRET_PATTERN, names: Collection[str] = ()) -> None:
        self._pattern = re.compile(pattern or r"(?!)", re.IGNORECASE)
        self._names = frozenset(names)

    def hide(self, key: str, item: Any) -> bool:
        """Return whether the item must be masked."""
        if not has_content(item):
            return False
        return len(key) > _MAX_NAME_LENGTH or key in self._names or bool(self._pattern.search(key))


def check_pattern(pattern: str) -> None:
    """Check a pattern of the names of secrets.

    Raises:
        ValueError: it is not a regular expression, or can take exponential time: a repetition contains another one, an
            option or alternatives.
    """
    try:
        re.compile(pattern)
        parsed = _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{pattern[:80]!r} is not a regular expression: {error}") from None
    if _is_ambiguous(parsed, repeated=False):
        raise ValueError(
            f"{pattern[:80]!r} repeats something that contains a repetition, an option or alternatives, which can take "
            "hours: write it without"
        )


def _is_ambiguous(parsed: Any, *, repeated: bool) -> bool:
    """Return whether a part of a parsed expression repeats something that can match in several ways."""
    if isinstance(parsed, (list, tuple, _parser.SubPattern)):
        if len(parsed) == 2 and str(parsed[0]) in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            least, most, content = parsed[1]
            return (repeated and least != most) or _is_ambiguous(content, repeated=repeated or most > 1)
        if repeated and len(parsed) == 2 and str(parsed[0]) == "BRANCH":
            return True
        return any(_is_ambiguous(part, repeated=repeated) for part in parsed)
    return False


_USUAL: Final = SecretNames()


def redact(value: Any, names: SecretNames = _USUAL, secret_vars: Collection[str] = ()) -> Any:
    """Return a copy of a JSON value in which values with secret names are masked.

    Args:
        value: the value.
        names: the names of secrets, at every level.
        secret_vars: further names of secrets, at the first level.
    """
    if isinstance(value, dict):
        return {
            key: MASK if names.hide(key, item) or (key in secret_vars and has_content(item)) else redact(item, names)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [redact(item, names) for item in value]
    return value


def secrets_in(value: Any, names: SecretNames = _USUAL, *, secret: bool = False) -> Iterator[str]:
    """Yield the secrets in a JSON value, as text.

    Args:
        value: the value.
        names: the names of secrets.
        secret: whether the whole value is secret.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            yield from secrets_in(item, names, secret=secret or names.hide(key, item))
    elif isinstance(value, list):
        for item in value:
            yield from secrets_in(item, names, secret=secret)
    elif secret and value is not None and not isinstance(value, bool):
        yield value if isinstance(value, str) else json.dumps(value)


def holds_mask(value: Any) -> bool:
    """Return whether a JSON value contains a mask."""
    if isinstance(value, dict):
        return any(map(holds_mask, value.values()))
    return any(map(holds_mask, value)) if isinstance(value, list) else bool(value == MASK)


def restore(value: Any, original: Any) -> Any:
    """Return a copy of a JSON value with every mask replaced by the value at the same place in the original."""
    if isinstance(value, dict):
        originals = original if isinstance(original, dict) else {}
        return {
            key: originals[key] if item == MASK and key in originals else restore(item, originals.get(key))
            for key, item in value.items()
        }
    if isinstance(value, list):
        original_items = original if isinstance(original, list) and len(original) == len(value) else [None] * len(value)
        return [restore(item, each) for item, each in zip(value, original_items, strict=True)]
    return value


def redact_text(text: str) -> str:
    """Return a text with values that follow a secret name, and passwords in URLs, masked.

    An object or a list that follows a secret name is masked as a whole; up to the end of the text if it is cut off. A
    secret without a name in front of it is not recognised.
    """
    shown, end = [], 0
    while name := _NAME_IN_TEXT.search(text, end):
        shown += [text[end : name.end()], MASK]
        end = _end_of_value(text, name.end())
    return _IN_URL.sub(rf"\g<1>{MASK}@", "".join([*shown, text[end:]]))


def _end_of_value(text: str, start: int) -> int:
    """Return the end of the value that begins at a position."""
    if text[start] not in "[{":
        value = _VALUE_IN_TEXT.match(text, start)
        return value.end() if value else start
    depth = 0
    for found in _BRACKET.finditer(text, start):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    return len(text)
