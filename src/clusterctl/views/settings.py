"""Views of settings and global extra vars."""

from __future__ import annotations

from clusterctl.api.models import Json, read
from clusterctl.output.output import View
from clusterctl.views.cells import cell, flatten, if_rows, new_table, plain_value
from clusterm import schemas


def globals(data: Json) -> View:  # noqa: A001 -- named by its noun
    """Return one row per global extra var."""
    yield from settings(read(schemas.Globals, data).extra_vars)


def settings(data: Json) -> View:
    """Return one row per value, named by its path."""
    table = new_table("NAME", "VALUE")
    for name, value in flatten(data):
        table.add_row(cell(name), cell(plain_value(value)))
    yield from if_rows(table)
