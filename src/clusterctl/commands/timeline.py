"""`clusterctl timeline`: what happened in the cluster, in which order."""

from functools import partial
from typing import Annotated, Final

import typer

from clusterctl.api import following
from clusterctl.api.models import read
from clusterctl.context import context_of
from clusterctl.options import AsJson, OfNode, Output, Since
from clusterctl.output.output import Document, Result, Stream, note, page_items
from clusterctl.parsing import parse_since
from clusterctl.views import events as event_views
from clusterm.schemas import Event, Page

COLUMNS: Final = tuple(Event.model_fields)
"""Of events as CSV."""


def timeline(
    ctx: typer.Context,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="Show the last N events.")] = 30,
    node: OfNode = None,
    since: Since = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on printing events as they happen, until Ctrl-C.")
    ] = False,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Show what happened in the cluster, oldest first.

    The thing to read first, and to attach to a bug report. Each row says when what happened to which node,
    with the job that did it and the reason of a failure; `clusterctl job get ID` shows that job. With
    --follow and --json each event is one JSON object on a line of its own. `-o csv` prints a row for each.
    """
    ask = partial(context_of(ctx, as_json=as_json, csv=True, output=output).client.timeline, node=node)
    moment = parse_since(since) if since else None
    if follow:
        coming = following.events(ask, note, limit=limit, since=moment)
        yield Stream(coming, event_views.event_text, live=True, columns=COLUMNS)
        return
    page = ask(limit=limit, since=moment)
    yield Document(page, event_views.events, items=page_items, columns=COLUMNS)
    if not read(Page[Event], page).items:
        note("no such events" if node or since else "nothing has happened yet")
