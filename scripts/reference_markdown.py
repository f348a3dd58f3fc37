"""Format tables and JSON schemas for the generated reference."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from clusterm import enums

Schema = dict[str, Any]

REF: Final = "#/components/schemas/"

_BOUNDLESS: Final = 10**9
"""Maximum from which a limit is not documented."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Write a table without its empty columns; nothing if there are no rows."""
    cells = [[one_line(value).replace("|", r"\|") for value in row] for row in rows]
    kept = [column for column in range(len(head)) if any(row[column] for row in cells)]
    if kept:
        for row in (head, ["---"] * len(head), *cells):
            yield "| " + " | ".join(row[column] for column in kept) + " |"


def type_of(schema: Schema) -> str:
    """Return the type of a value, with links to objects."""
    if schema.get("$ref", "").startswith("#/$defs/"):  # of a setting: an enumeration, or nested settings
        kind = schema["$ref"].removeprefix("#/$defs/")
        name = re.sub(r"\B(?=[A-Z])", " ", kind).lower()
        return f"[{name}]({'enumerations.md' if hasattr(enums, kind) else ''}#{name.replace(' ', '-')})"
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REF)
        return f"[{name}](#{name.lower().replace(' ', '-')})"
    if "anyOf" in schema:
        return " or ".join(type_of(each) for each in schema["anyOf"])
    kind = schema.get("type", "any")
    if kind == "array":
        kind += f" of {type_of(schema['items'])}"
    elif isinstance(schema.get("additionalProperties"), dict):
        kind += f" of {type_of(schema['additionalProperties'])}"
    elif schema.get("format") == "date-time":
        kind = "time"
    return f"{kind} {_bounds(schema)}".strip()


def default_of(schema: Schema) -> str:
    """Return the default of a value; empty if it has none, or null."""
    return "" if schema.get("default") is None else f"`{json.dumps(schema['default'], ensure_ascii=False)}`"


def one_line(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.split())


def _bounds(schema: Schema) -> str:
    if "exclusiveMinimum" in schema:
        return f"> {schema['exclusiveMinimum']:g}"
    if "minimum" not in schema:
        return ""
    low, high = schema["minimum"], schema.get("maximum", _BOUNDLESS)
    return f"≥ {low:.15g}" if high >= _BOUNDLESS else f"{low} to {high}"
