"""Fast rendering of long tables: rich measures each cell several times, which takes seconds for 10,000 rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.style import Style

_LONG: Final = 1000
"""Number of rows from which cells are not wrapped, because rich would take too long."""

_GAP: Final = "  "


class Rows:
    """A table of plain cells.

    Args:
        columns: the headings.
        rows: the cells of each row.
        styles: rich styles by text of the cell.
    """

    def __init__(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], styles: Mapping[str, str] | None = None
    ) -> None:
        self.columns = columns
        self.rows = [[clean(cell) for cell in row] for row in rows]
        self.styles = styles or {}


def clean(text: str) -> str:
    """Return a text on one line, without control characters."""
    return text if text.isprintable() else "".join(c for c in " ".join(text.split()) if c.isprintable())


def lines(table: Rows, console: Console) -> Iterator[str] | None:
    """Render a table for a console.

    Returns:
        The lines, each with its newline; None if the table is too wide for the console and short enough to be wrapped.
    """
    widths = [max(map(_width, column)) for column in zip(table.columns, *table.rows, strict=True)]
    too_wide = sum(widths) + len(_GAP) * (len(widths) - 1) > console.width
    if too_wide and len(table.rows) < _LONG:
        return None
    from rich.console import COLOR_SYSTEMS  # noqa: PLC0415 -- the console has loaded it
    from rich.style import Style  # noqa: PLC0415 -- as above

    plain = Style()
    colours = COLOR_SYSTEMS.get(console.color_system or "")
    styles = {text: Style.parse(style) for text, style in table.styles.items()} if colours else {}

    def write(cells: Sequence[str], heading: Style | None = None) -> str:
        painted = cells
        if colours:
            painted = [(heading or styles.get(cell, plain)).render(cell, color_system=colours) for cell in cells]
        padded = (
            shown + " " * (width - _width(cell)) for shown, cell, width in zip(painted, cells, widths, strict=True)
        )
        return _GAP.join(padded).rstrip(" ") + "\n"

    return chain([write(table.columns, Style(bold=True))], map(write, table.rows))


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 -- as above

    return cell_len(text)
