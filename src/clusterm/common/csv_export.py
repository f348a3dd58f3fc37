"""Write objects as rows of a CSV file (RFC 4180) that is safe to open in a spreadsheet."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

_FORMULA: Final = re.compile(r"^(?=[=+\-@\t\r\n;＝＋－＠])|(?<=[;\t])(?=\s*[\"']?[=+\-@＝＋－＠])")  # noqa: RUF001
"""Places where a spreadsheet may find the start of a formula. It treats the wide characters as the ASCII ones, and in
countries with a decimal comma it splits fields at semicolons."""

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
    """Write a value; an apostrophe in front of a possible formula makes spreadsheets treat the formula as text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _FORMULA.sub("'", value)
    text = json.dumps(value, ensure_ascii=False)
    return text if isinstance(value, (int, float)) else _FORMULA.sub("'", text)
