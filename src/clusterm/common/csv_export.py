"""Write objects as rows of a CSV file (RFC 4180) that is safe to open in a spreadsheet."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 -- spreadsheets treat the wide characters as the ASCII ones
"""First characters of a text that a spreadsheet may run as a formula."""

END: Final = "\r\n"
"""Row separator."""


def rows(columns: Sequence[str], objects: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Write a header, then a row per object; each item yielded is a whole row.

    Args:
        columns: the members to write.
        objects: JSON objects. Absent and null members become empty fields; arrays and objects are written as JSON.
    """
    yield _row(columns)
    for each in objects:
        yield _row([_field(each.get(column)) for column in columns])


def _row(fields: Sequence[str]) -> str:
    row = io.StringIO()
    csv.writer(row, lineterminator=END).writerow(fields)
    return row.getvalue()


def _field(value: Any) -> str:
    """Write a value; an apostrophe in front of a possible formula makes spreadsheets treat the value as text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return json.dumps(value, ensure_ascii=False)
