"""`clusterctl timeline`: what happened in the cluster, in which order."""

from typing import Annotated

import typer

from clusterctl import following, tables
from clusterctl.client import read
from clusterctl.options import AsJson, OfNode, Since
from clusterctl.session import session_of
from clusterctl.show import Document, Result, Stream, note, page_items
from clusterctl.values import parse_since
from clusterm.schemas import Event, Page


def timeline(
    ctx: typer.Context,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="Show the last N events.")] = 30,
    node: OfNode = None,
    since: Since = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on printing events as they happen, until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> Result:
    """Show what happened in the cluster, oldest first.

    The thing to read first, and to attach to a bug report. Each row says when what happened to which node,
    with the job that did it and the reason of a failure; `clusterctl job get ID` shows that job. With
    --follow and --json each event is one JSON object on a line of its own.
    """
    client = session_of(ctx, as_json=as_json).client
    moment = parse_since(since) if since else None
    if follow:
        yield Stream(following.events(client, note, limit=limit, node=node, since=moment), tables.event_text, live=True)
        return
    page = client.timeline(limit=limit, node=node, since=moment)
    yield Document(page, tables.events, items=page_items)
    if not read(Page[Event], page).items:
        note("no such events" if node or since else "nothing has happened yet")
