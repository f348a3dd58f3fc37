"""Objects as the rows of a CSV file (RFC 4180) that a spreadsheet can open without coming to harm."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 -- a spreadsheet takes the wide ones for the others
"""What a text begins with that a spreadsheet may run as a formula."""

END: Final = "\r\n"
"""What a row ends with."""


def rows(columns: Sequence[str], objects: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Write a header, then a row for each object; each piece is a whole row.

    Args:
        columns: the members to write.
        objects: JSON objects. A member that is absent or null is an empty field, one that is no text, number or
            boolean is written as JSON.
    """
    yield _row(columns)
    for each in objects:
        yield _row([_field(each.get(column)) for column in columns])


def _row(fields: Sequence[str]) -> str:
    row = io.StringIO()
    csv.writer(row, lineterminator=END).writerow(fields)
    return row.getvalue()


def _field(value: Any) -> str:
    """Write a value; an apostrophe before what looks like a formula makes spreadsheets take it for text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return json.dumps(value, ensure_ascii=False)
