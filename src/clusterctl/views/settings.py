"""Settings as tables."""

from clusterctl.api.models import Json, read
from clusterctl.output.output import View
from clusterctl.views.cells import _cell, _flat, _if_rows, _table, _value
from clusterm.schemas import (
    Globals,
)


def globals(data: Json) -> View:  # noqa: A001 -- named by its noun
    """One row for each global extra var."""
    yield from settings(read(Globals, data).extra_vars)


def settings(data: Json) -> View:
    """One row for each value, named by its path."""
    table = _table("NAME", "VALUE")
    for name, value in _flat(data):
        table.add_row(_cell(name), _cell(_value(value)))
    yield from _if_rows(table)
