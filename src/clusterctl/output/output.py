"""Prints results: as tables for people, as the service's JSON for programs. Nothing else writes to stdout."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from clusterctl.output.rows import Rows, lines

_PIPE_WIDTH: Final = 100_000
"""Columns of an output that is no terminal: so many that nothing is ever wrapped."""

_C1_AND_BIDI: Final = r"\x7f-\x9f\u202a-\u202e\u2066-\u2069"
_CONTROLS: Final = re.compile(rf"(\x1b\[[\d;:]*m)|[\x00-\x08\x0b-\x1f{_C1_AND_BIDI}]")
"""Colours, and all else that a terminal may obey instead of showing it; tabs and newlines do no harm."""

_LEFT_IN_JSON: Final = re.compile(f"[{_C1_AND_BIDI}]")
"""Those of them that JSON leaves as they are."""

_NO_COLOUR: Final = "\x1b[0m"

View = Iterator[Table | Rows | str]
"""What a person sees of an answer: tables, and text that is printed as it stands."""


class Format(StrEnum):
    """How to print results."""

    TABLE = "table"
    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"
    CSV = "csv"


_FOR_PEOPLE: Final = {Format.TABLE, Format.TEXT}


@dataclass(frozen=True)
class Document:
    """An answer of the service.

    Attributes:
        data: the JSON that it sent.
        view: makes a person's view of it.
        items: takes the items out of an answer that is a list of them.
        columns: the members of an item that are the columns of CSV, where the command can print that.
    """

    data: Any
    view: Callable[[Any], View]
    items: Callable[[Any], Iterable[Any]] | None = None
    columns: Sequence[str] = ()


@dataclass(frozen=True)
class Stream:
    """Items that arrive one by one.

    Attributes:
        items: the JSON of each.
        text: makes the text of them that a person sees.
        live: whether each is wanted at once, because the next may be long in coming.
        columns: as in a document.
    """

    items: Iterator[Any]
    text: Callable[[Iterator[Any]], Iterator[str]]
    live: bool
    columns: Sequence[str] = ()


Result = Iterator[Document | Stream]
"""What a command has to show, in its order. A command does its work while it is shown."""


def page_items(page: Any) -> Iterable[Any]:
    """Take the items out of a paged answer."""
    items: Iterable[Any] = page["items"]
    return items


def note(message: str) -> None:
    """Tell the user something that is not the result."""
    sys.stderr.write(f"{_one_line(message)}\n")
    sys.stderr.flush()


def error(message: str) -> None:
    """Tell the user why there is no result."""
    note(f"clusterctl: {message}")


def show(part: Document | Stream, output: Format, out: TextIO) -> None:
    """Print a part of a command's result."""
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
    for text in texts:
        out.write(text)
        if stream.live:
            out.flush()


def _readable(text: str, out: TextIO) -> str:
    """Keep what others have written from doing more to a terminal than colour it; what a file gets is left alone."""
    if not out.isatty():
        return text
    shown = _CONTROLS.sub(lambda found: found[1] or _picture(found[0]), text)
    if shown.rpartition("\x1b[")[2].startswith("0m") or "\x1b" not in shown:
        return shown
    line = shown.removesuffix("\n")
    return f"{line}{_NO_COLOUR}{shown[len(line) :]}"  # or one that hides text would hide what follows, too


def _picture(control: str) -> str:
    """Return the character that shows a control character."""
    code = ord(control)
    return (
        "\N{SYMBOL FOR DELETE}" if code == 0x7F else chr(0x2400 + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}"
    )


def _render(table: Table | Rows, out: TextIO) -> str:
    console = Console(file=out, width=None if out.isatty() else _PIPE_WIDTH, markup=False, emoji=False, highlight=False)
    if isinstance(table, Rows):
        written = lines(table, console)
        if written is not None:
            return "".join(written)
        table = _wrapping(table)
    with console.capture() as capture:
        console.print(table, crop=False)
    return "".join(f"{line.rstrip(' ')}\n" for line in capture.get().splitlines())


def _wrapping(rows: Rows) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in rows.columns:
        table.add_column(column, overflow="fold")
    for cells in rows.rows:
        table.add_row(*(Text(cell, rows.styles.get(cell, "")) for cell in cells))
    return table


def _dump(data: Any, output: Format) -> str:
    if output is Format.YAML:
        import yaml  # noqa: PLC0415 -- rarely asked for, and slow to load

        # PyYAML has its fast dumper only where it was built with libyaml.
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        return str(yaml.dump(data, Dumper=dumper, sort_keys=False, allow_unicode=True))
    return _harmless(json.dumps(data, indent=2, ensure_ascii=False)) + "\n"


def _rows(columns: Sequence[str], items: Iterable[Any], out: TextIO) -> Iterator[str]:
    from clusterm.common.csv_export import END, rows  # noqa: PLC0415 -- rarely asked for

    return (_readable(row.removesuffix(END), out) + END for row in rows(columns, items))


def _json_line(data: Any) -> str:
    return _harmless(json.dumps(data, ensure_ascii=False, separators=(",", ":"))) + "\n"


def _harmless(text: str) -> str:
    """Escape in JSON what a terminal could obey; it says the same to programs."""
    return _LEFT_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _one_line(text: str) -> str:
    """Keep what others say on one line and away from the terminal's control."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
