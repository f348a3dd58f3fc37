"""Events as tables."""

from collections.abc import Iterable, Iterator

from rich.table import Table
from rich.text import Text

from clusterctl.api.models import Json, read
from clusterctl.output.output import View
from clusterctl.views.cells import _STYLES, _cell, _if_rows, _plain, _table, _value, time
from clusterm.schemas import (
    Event,
    Page,
)


def events(data: Json) -> View:
    """One row for each event of the timeline."""
    yield from _if_rows(_events(read(Page[Event], data).items))


def node_events(data: Json) -> View:
    """One row for each event of a node, with what it changed and who wanted it."""
    yield from _if_rows(_node_events(read(Page[Event], data).items))


def event_text(items: Iterator[Json]) -> Iterator[str]:
    """Write events as lines that read like the rows of the timeline."""
    for event in (read(Event, item) for item in items):
        cells = (time(event.at), f"{_plain(event):<40}", f"{_plain(event.job):>5}", _plain(event.detail))
        yield "  ".join(cells).rstrip() + "\n"


def _events(items: Iterable[Event]) -> Table:
    table = _table("TIME", "EVENT", "JOB", "REASON")
    for event in items:
        table.add_row(
            _cell(time(event.at)),
            Text(_plain(event), _STYLES.get(event.result or "", "")),
            _cell(event.job),
            _cell(event.detail),
        )
    return table


def _node_events(items: Iterable[Event]) -> Table:
    table = _table("TIME", "EVENT", "CHANGE", "JOB", "BY", "REASON")
    for event in items:
        changes = (f"{name} {_value(before)} → {_value(after)}" for name, (before, after) in event.changes.items())
        table.add_row(
            _cell(time(event.at)),
            Text(_plain(event), _STYLES.get(event.result or "", "")),
            _cell(", ".join(changes)),
            _cell(event.job),
            _cell(event.by or event.cause),
            _cell(event.detail),
        )
    return table
