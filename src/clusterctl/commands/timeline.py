"""`clusterctl timeline`: the events of the cluster in order."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from typing import Annotated, Final

import typer

from clusterctl.api import following
from clusterctl.api.models import Json, read
from clusterctl.context import context_of
from clusterctl.errors import Usage
from clusterctl.options import AsJson, FollowEvents, OfNode, Output, Since, Until
from clusterctl.output.output import Document, Note, Result, Stream, note, page_items
from clusterctl.parsing import parse_since
from clusterctl.views import events as event_views
from clusterm import schemas
from clusterm.enums import EventKind

COLUMNS: Final = (
    "id", "at", "node", "event", "kind", "result", "job", "detail", "cause", "by", "changes", "times", "since",
    "action",
)  # fmt: skip
"""Columns of events as CSV: the members of `schemas.Event`, which it takes long to load."""

_LATEST: Final = 30
"""Events that are shown if nothing says how many."""

ALL: Final = 1_000_000
"""More than the service keeps of one kind."""


class Kinds(StrEnum):
    """What events are about, as an option."""

    NODES = "nodes"
    JOBS = "jobs"
    ADMIN = "admin"
    ALL = "all"


def timeline(
    ctx: typer.Context,
    *,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            min=1,
            metavar="N",
            help="Show the last N events. Default: 30, or with --since, --until or --job all.",
            show_default=False,
        ),
    ] = None,
    kinds: Annotated[
        list[Kinds] | None,
        typer.Option(
            "--kind",
            "-k",
            help="What happened to nodes, to jobs, or to the service and its settings. Repeatable. Default: nodes.",
            show_default=False,
        ),
    ] = None,
    node: OfNode = None,
    job: Annotated[int | None, typer.Option("--job", min=1, metavar="ID", help="Only of this job.")] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Only of this requester.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only failures.")] = False,
    since: Since = None,
    until: Until = None,
    follow: FollowEvents = False,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Show the events of the cluster, oldest first.

    Each row shows when an event happened on which node, the job that caused it, and the reason of a failure;
    `clusterctl job get ID` shows that job. Attach the timeline to bug reports. `--kind all` shows also what happened
    to jobs from their acceptance to their end, and who changed settings, globals and tokens. With --follow and --json
    each event is one JSON object per line. `-o csv` prints a row for each event.
    """
    if follow and until:
        raise Usage("--until shows past events, --follow new ones: use one of them")
    rest = context_of(ctx, as_json=as_json, csv=True, output=output).rest
    ask = partial(rest.timeline, kind=_kinds(kinds), node=node, job=job, by=by, failed=failed or None)
    is_selective = bool(since or until or job)
    most = limit or (ALL if is_selective else _LATEST)
    moment = parse_since(since) if since else None
    if follow:
        coming = following.events(ask, note, limit=most, since=moment)
        return Result([Stream(coming, event_views.event_text, live=True, columns=COLUMNS)])
    page = ask(limit=most, since=moment, until=parse_since(until) if until else None)
    empty = "no such events" if is_selective or node or by or failed or kinds else "nothing has happened yet"
    return Result(
        [Document(page, event_views.events, items=page_items, columns=COLUMNS)], then=partial(_notes, page, empty)
    )


def _kinds(given: Sequence[Kinds] | None) -> list[str] | None:
    """Return the kinds for a request; None for its default."""
    if given and Kinds.ALL in given:
        return list(EventKind)
    return list(given) if given else None


def _notes(page: Json, empty: str) -> Result:
    shown = read(schemas.Page[schemas.Event], page)
    if not shown.items:
        return Result([Note(empty)])
    return Result([Note("older events are not shown; --limit shows more")] if shown.next else [])
