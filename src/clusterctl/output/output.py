"""Results of commands, and the only code that prints them: to stdout the result, to stderr notes and errors."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeAlias

from clusterctl.output.rows import Rows, lines

if TYPE_CHECKING:
    from rich.table import Table

_PIPE_WIDTH: Final = 100_000
"""Columns of an output that is not a terminal. Wide enough that no line is ever wrapped."""

_MIN_CUT: Final = 24
"""Least width of a column whose cells are cut."""

_MIN_WRAPPED: Final = 16
"""Least width of a column whose cells are wrapped."""

_GAP: Final = 2
"""Columns between two columns of a table."""

_C1_AND_BIDI: Final = r"\x7f-\x9f\u202a-\u202e\u2066-\u2069"
_CONTROLS: Final = re.compile(rf"(\x1b\[[\d;:]*m)|[\x00-\x08\x0b-\x1f{_C1_AND_BIDI}]")
"""Colours (the group), and all other characters that control a terminal; tabs and newlines are harmless."""

_LEFT_IN_JSON: Final = re.compile(f"[{_C1_AND_BIDI}]")
"""Control characters that `json.dumps` does not escape."""

_NO_COLOUR: Final = "\x1b[0m"

View: TypeAlias = "Iterator[Table | Rows | str]"
"""A response in the formats table and text: tables, and text that is printed unchanged."""


class Format(StrEnum):
    """Output format of results."""

    TABLE = "table"
    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"
    CSV = "csv"


_FOR_PEOPLE: Final = {Format.TABLE, Format.TEXT}


@dataclass(frozen=True)
class Document:
    """A response of the service.

    Attributes:
        data: the JSON of the response.
        view: builds the tables and text of the formats table and text.
        items: returns the items of a response that is a list, which JSON Lines and CSV print one per line.
        columns: members of an item that are the columns of CSV; empty if the command has no CSV.
    """

    data: Any
    view: Callable[[Any], View]
    items: Callable[[Any], Iterable[Any]] | None = None
    columns: Sequence[str] = ()


@dataclass(frozen=True)
class Stream:
    """Items that are printed while they arrive.

    Attributes:
        items: the JSON of each item.
        text: turns the items into the text of the formats table and text.
        live: whether to flush after each item, because the next one may take long to arrive.
        columns: members of an item that are the columns of CSV.
    """

    items: Iterator[Any]
    text: Callable[[Iterator[Any]], Iterator[str]]
    live: bool
    columns: Sequence[str] = ()


@dataclass(frozen=True)
class Note:
    """A line for stderr that is not part of the result: a hint, or why the result is empty."""

    text: str


Part = Document | Stream | Note


@dataclass(frozen=True)
class Result:
    """What a command prints.

    Attributes:
        parts: printed in this order.
        then: called after the parts are printed; returns the rest of the result, or raises the error that the command
            ends with. For whatever depends on a stream having ended, and for notes and errors that are read from a
            response: its JSON is printed also if this version cannot read it.
    """

    parts: Sequence[Part] = ()
    then: Callable[[], Result] | None = None


def page_items(page: Any) -> Iterable[Any]:
    """Return the items of a paged response."""
    items: Iterable[Any] = page["items"]
    return items


def note(message: str) -> None:
    """Print a line to stderr: progress, a hint or an error."""
    sys.stderr.write(f"{_one_line(message)}\n")
    sys.stderr.flush()


def error(message: str) -> None:
    """Print to stderr why the command failed."""
    note(f"clusterctl: {message}")


def print_result(result: Result, output: Format, out: TextIO) -> None:
    """Print a command's result: the parts to `out`, notes to stderr.

    Raises:
        ClusterctlError: the command fails after its parts are printed.
    """
    rest: Result | None = result
    while rest is not None:
        for part in rest.parts:
            show(part, output, out)
        rest = rest.then() if rest.then else None


def show(part: Part, output: Format, out: TextIO) -> None:
    """Print one part of a result."""
    if isinstance(part, Note):
        note(part.text)
        return
    if isinstance(part, Stream):
        _show_stream(part, output, out)
    elif output in _FOR_PEOPLE:
        out.writelines(_readable(x, out) if isinstance(x, str) else _render(x, out) for x in part.view(part.data))
    elif output in {Format.JSONL, Format.CSV}:
        items = part.items(part.data) if part.items else [part.data]
        out.writelines(_rows(part.columns, items, out) if output is Format.CSV else map(_json_line, items))
    else:
        out.write(_readable(_dump(part.data, output), out))
    out.flush()


def _show_stream(stream: Stream, output: Format, out: TextIO) -> None:
    match output:
        case Format.TABLE | Format.TEXT:
            texts: Iterator[str] = (_readable(text, out) for text in stream.text(stream.items))
        case Format.YAML:
            texts = (_readable(_dump([item], output), out) for item in stream.items)
        case Format.CSV:
            texts = _rows(stream.columns, stream.items, out)
        case Format.JSON if not stream.live:
            texts = iter([_dump(list(stream.items), output)])
        case _:
            texts = (_json_line(item) for item in stream.items)
    with ExitStack() as stack:
        if isinstance(stream.items, Generator):
            stack.enter_context(closing(stream.items))  # removes the status line also after Ctrl-C
        for text in texts:
            out.write(text)
            if stream.live:
                out.flush()


def _readable(text: str, out: TextIO) -> str:
    """Make control characters other than colours visible if `out` is a terminal; return other text unchanged."""
    if not out.isatty():
        return text
    shown = _CONTROLS.sub(lambda found: found[1] or _picture(found[0]), text)
    if shown.rpartition("\x1b[")[2].startswith("0m") or "\x1b" not in shown:
        return shown
    line = shown.removesuffix("\n")
    return f"{line}{_NO_COLOUR}{shown[len(line) :]}"  # else a colour that hides text would hide the next line, too


def _picture(control: str) -> str:
    """Return a printable character that represents a control character."""
    code = ord(control)
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    return chr(0x2400 + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}"


def _render(table: Table | Rows, out: TextIO) -> str:
    from rich.console import Console  # noqa: PLC0415 -- rich is slow to load, and JSON needs none

    console = Console(file=out, width=None if out.isatty() else _PIPE_WIDTH, markup=False, emoji=False, highlight=False)
    if isinstance(table, Rows):
        written = lines(table, console)
        if written is not None:
            return "".join(written)
        table = _wrapping(table)
    with console.capture() as capture:
        console.print(_fitted(table, console.width), crop=False)
    return "".join(f"{line.rstrip(' ')}\n" for line in capture.get().splitlines())


def _fitted(table: Table, width: int) -> Table:
    """Return a table that is readable at a width.

    Columns whose cells may be cut get what the others leave. A table whose words would be broken is turned into a
    block for each row, as the expanded display of `psql`.
    """
    if not table.show_header:
        return table
    from rich.cells import cell_len  # noqa: PLC0415 -- as above
    from rich.table import Table  # noqa: PLC0415 -- as above

    widths = [max(cell_len(str(cell)) for cell in (column.header, *column.cells)) for column in table.columns]
    needed = 0
    for column, natural in zip(table.columns, widths, strict=True):
        if column.overflow == "ellipsis":
            column.max_width = max(width - sum(widths) + natural - _GAP * len(widths), _MIN_CUT)
            needed += min(natural, _MIN_CUT)
        else:
            needed += natural if column.no_wrap else min(natural, _MIN_WRAPPED)
    if needed + _GAP * (len(widths) - 1) <= width:
        return table
    blocks = Table.grid(padding=(0, _GAP, 0, 0))
    blocks.add_column(style="bold", no_wrap=True)
    blocks.add_column(overflow="fold")
    for number, row in enumerate(zip(*(column.cells for column in table.columns), strict=True)):
        if number:
            blocks.add_row()
        for column, cell in zip(table.columns, row, strict=True):
            if str(cell):
                blocks.add_row(column.header, cell)
    return blocks


def _wrapping(rows: Rows) -> Table:
    from rich.table import Table  # noqa: PLC0415 -- as above
    from rich.text import Text  # noqa: PLC0415 -- as above

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in rows.columns:
        table.add_column(column, overflow="fold")
    for cells in rows.rows:
        table.add_row(*(Text(cell, rows.styles.get(cell, "")) for cell in cells))
    return table


def _dump(data: Any, output: Format) -> str:
    if output is Format.YAML:
        import yaml  # noqa: PLC0415 -- rarely needed, and slow to load

        # PyYAML has its fast dumper only where it was built with libyaml.
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        return str(yaml.dump(data, Dumper=dumper, sort_keys=False, allow_unicode=True))
    return _harmless(json.dumps(data, indent=2, ensure_ascii=False)) + "\n"


def _rows(columns: Sequence[str], items: Iterable[Any], out: TextIO) -> Iterator[str]:
    from clusterm.common.csv_export import END, rows  # noqa: PLC0415 -- rarely needed

    return (_readable(row.removesuffix(END), out) + END for row in rows(columns, items))


def _json_line(data: Any) -> str:
    return _harmless(json.dumps(data, ensure_ascii=False, separators=(",", ":"))) + "\n"


def _harmless(text: str) -> str:
    """Escape control characters in JSON; programs read the same value."""
    return _LEFT_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _one_line(text: str) -> str:
    """Put a text on one line, and replace its control characters."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
