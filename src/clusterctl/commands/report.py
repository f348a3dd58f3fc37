"""`clusterctl report`: what happened in a period, as Markdown for a ticket."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from clusterctl.api.models import Json, format_optional_time, read
from clusterctl.api.rest import RestClient
from clusterctl.commands.timeline import ALL
from clusterctl.context import context_of
from clusterctl.errors import Refused, Usage
from clusterctl.options import AsJson, Output, Until
from clusterctl.output.output import Document, Result
from clusterctl.parsing import parse_since
from clusterctl.views.report import report as report_view
from clusterm import schemas
from clusterm.enums import EventKind, JobStatus

_PAGE: Final = 1000
"""Jobs per request."""


def report(
    ctx: typer.Context,
    *,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="From this time on: 2026-11-22T07:31:02Z, or 30m, 2h, 1d ago.")
    ] = "2h",
    until: Until = None,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Report what happened in a period, as Markdown for a ticket.

    What runs and waits now, which jobs ran and how they ended, what failed where and why, which nodes changed, and
    who changed what in the service. Secrets are masked; a secret that a playbook prints is not.
    """
    rest = context_of(ctx, as_json=as_json, output=output).rest
    begin, end = parse_since(since), parse_since(until) if until else datetime.now(UTC)
    if begin >= end:
        raise Usage("the period ends before it begins: give --since a time before --until")
    found = rest.timeline(limit=ALL, since=begin, until=end, kind=list(EventKind))
    answer = {
        "since": format_optional_time(begin),
        "until": format_optional_time(end),
        "status": rest.status(),
        "jobs": _jobs(rest, begin, end, read(schemas.Page[schemas.Event], found).items),
        "events": found["items"],
    }
    return Result([Document(answer, report_view)])


def _jobs(rest: RestClient, begin: datetime, end: datetime, events: list[schemas.Event]) -> list[Json]:
    """Return the jobs that began, ran or ended in the period, the oldest first."""
    found: dict[int, Json] = {}
    unended: Iterable[dict[str, Any]] = (
        {"since": None, "until": None, "status": status} for status in (JobStatus.QUEUED, JobStatus.RUNNING)
    )
    for terms in ({"since": begin, "until": end, "status": None}, *unended):
        cursor = None
        while True:
            page = rest.jobs(action=None, node=None, limit=_PAGE, cursor=cursor, **terms)
            found |= {read(schemas.Job, job).id: job for job in page["items"]}
            cursor = page["next"]
            if cursor is None:
                break
    for missing in sorted({event.job for event in events if event.job is not None} - found.keys()):
        try:
            found[missing] = rest.job(str(missing), logs=False)
        except Refused:
            continue  # it is not kept any more
    return [found[number] for number in sorted(found)]
