"""`clusterctl timeline`: the events of the cluster in order."""

from functools import partial
from typing import Annotated, Final

import typer

from clusterctl.api import following
from clusterctl.api.models import Json, read
from clusterctl.context import context_of
from clusterctl.options import AsJson, FollowEvents, OfNode, Output, Since
from clusterctl.output.output import Document, Note, Result, Stream, note, page_items
from clusterctl.parsing import parse_since
from clusterctl.views import events as event_views
from clusterm.schemas import Event, Page

COLUMNS: Final = tuple(Event.model_fields)
"""Columns of events as CSV."""


def timeline(
    ctx: typer.Context,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="Show the last N events.")] = 30,
    node: OfNode = None,
    since: Since = None,
    follow: FollowEvents = False,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Show the events of the cluster, oldest first.

    Each row shows when an event happened on which node, the job that caused it, and the reason of a failure;
    `clusterctl job get ID` shows that job. Attach the timeline to bug reports. With --follow and --json each event is
    one JSON object per line. `-o csv` prints a row for each event.
    """
    ask = partial(context_of(ctx, as_json=as_json, csv=True, output=output).rest.timeline, node=node)
    moment = parse_since(since) if since else None
    if follow:
        coming = following.events(ask, note, limit=limit, since=moment)
        return Result([Stream(coming, event_views.event_text, live=True, columns=COLUMNS)])
    page = ask(limit=limit, since=moment)
    then = partial(_empty_note, page, "no such events" if node or since else "nothing has happened yet")
    return Result([Document(page, event_views.events, items=page_items, columns=COLUMNS)], then=then)


def _empty_note(page: Json, text: str) -> Result:
    return Result([] if read(Page[Event], page).items else [Note(text)])
