"""Building blocks of tables: cells, times and durations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from clusterctl.output.output import View
from clusterm.enums import JobStatus, Outcome, Result, State, Status

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_CUT: Final = {"ERROR"}
"""Columns that are cut at the width of the terminal, because another command shows their cells in full."""

_NARROW: Final = {"TIME", "CREATED", "JOB", "ID", "STATUS", "LINE", "STEP", "DURATION", "FOR", "WHAT"}
"""Columns that are never wrapped, because their cells are short."""

STYLES: Final[dict[str, str]] = {
    JobStatus.COMPLETE: "green",
    JobStatus.ERRORED: "red",
    JobStatus.RUNNING: "yellow",
    JobStatus.CANCELLED: "yellow",
    Status.ALLOCATED: "green",
    Status.PROVISIONING: "yellow",
    Status.MAINTENANCE: "yellow",
    State.DISAPPEARED: "red",
    Outcome.PASSED: "green",
    Outcome.FAILED: "red",
    Outcome.UNDONE: "red",
    Result.PASS: "green",
    Result.FAIL: "red",
}


def new_table(*columns: str) -> Table:
    """Return an empty table with these columns."""
    from rich.table import Table  # noqa: PLC0415 -- rich is slow to load, and only tables need it

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        is_cut = column in _CUT
        table.add_column(column, overflow="ellipsis" if is_cut else "fold", no_wrap=is_cut or column in _NARROW)
    return table


def names(given: Sequence[str], most: int) -> str:
    """Return a list of names as text; of more than `most`, the first ones and the number of the others."""
    if len(given) <= most:
        return ", ".join(given)
    return f"{', '.join(given[:most])} and {len(given) - most} more"


def block(values: dict[str, Any]) -> Table:
    """Return a table of names and values, without empty values."""
    from rich.table import Table  # noqa: PLC0415 -- as above

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        if value != "":
            table.add_row(name, cell(value))
    return table


def if_rows(table: Table) -> View:
    """Yield the table if it has rows."""
    if table.row_count:
        yield table


def cell(value: object) -> Text:
    """Return a value as a cell: on one line, coloured if it is a status, state or result."""
    text = plain(value)
    return styled(text, STYLES.get(text, ""))


def styled(text: str, style: str) -> Text:
    """Return a text in a style of rich."""
    from rich.text import Text  # noqa: PLC0415 -- as above

    return Text(text, style)


def plain(value: object) -> str:
    """Return a value on one line, without control characters."""
    return "" if value is None else "".join(c for c in " ".join(str(value).split()) if c.isprintable())


def time(at: datetime) -> str:
    """Return a time in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(start: datetime | None, end: datetime | None) -> str:
    """Return the duration from start to end, or until now; empty without a start."""
    # The service's clock may be ahead of this machine's.
    return "" if start is None else format_duration(max((end or datetime.now(UTC)) - start, timedelta()))


def format_duration(lasted: timedelta) -> str:
    """Return a duration as text, rounded for reading: `4.2 s`, `3 min 5 s`, `2 h 10 min`."""
    seconds = lasted.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def flatten(data: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the paths and values of nested objects."""
    for name, value in data.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def plain_value(value: Any) -> str:
    """Return a setting's value as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
