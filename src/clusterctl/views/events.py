"""Views of events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from clusterctl.api.models import Json, read
from clusterctl.output.output import View
from clusterctl.views.cells import STYLES, cell, if_rows, new_table, plain, plain_value, styled, time
from clusterm import schemas
from clusterm.enums import EventKind

if TYPE_CHECKING:
    from rich.table import Table


def events(data: Json) -> View:
    """Return one row per event of the timeline."""
    items = read(schemas.Page[schemas.Event], data).items
    is_of_nodes = all(event.kind is EventKind.NODES for event in items)
    yield from if_rows(_events(items) if is_of_nodes else _audit_trail(items))


def node_events(data: Json) -> View:
    """Return one row per event of a node, with changes and requester."""
    yield from if_rows(node_event_table(read(schemas.Page[schemas.Event], data).items))


def event_text(items: Iterator[Json]) -> Iterator[str]:
    """Return events as lines in the layout of the timeline."""
    for event in (read(schemas.Event, item) for item in items):
        by = f"(by {event.by})" if event.by and event.kind is not EventKind.NODES else ""
        detail = plain(f"{event.detail or ''} {by}")
        cells = (time(event.at), f"{plain(event):<40}", f"{plain(event.job):>5}", detail)
        yield "  ".join(cells).rstrip() + "\n"


def _events(items: Iterable[schemas.Event]) -> Table:
    table = new_table("TIME", "EVENT", "JOB", "REASON")
    for event in items:
        table.add_row(
            cell(time(event.at)),
            styled(plain(event), STYLES.get(event.result or "", "")),
            cell(event.job),
            cell(event.detail),
        )
    return table


def _audit_trail(items: Iterable[schemas.Event]) -> Table:
    table = new_table("TIME", "EVENT", "JOB", "BY", "DETAIL")
    for event in items:
        table.add_row(
            cell(time(event.at)),
            styled(plain(event), STYLES.get(event.result or "", "")),
            cell(event.job),
            cell(event.by or event.cause),
            cell(event.detail),
        )
    return table


def node_event_table(items: Iterable[schemas.Event]) -> Table:
    """Return the table of a node's events."""
    table = new_table("TIME", "EVENT", "CHANGE", "JOB", "BY", "REASON")
    for event in items:
        changes = (
            f"{name} {plain_value(before)} → {plain_value(after)}" for name, (before, after) in event.changes.items()
        )
        table.add_row(
            cell(time(event.at)),
            styled(plain(event), STYLES.get(event.result or "", "")),
            cell(", ".join(changes)),
            cell(event.job),
            cell(event.by or event.cause),
            cell(event.detail),
        )
    return table
