"""`clusterctl job logs` and `clusterctl job verify`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain
from typing import Annotated

import typer

from clusterctl.api import following
from clusterctl.api.models import Json, Lines, read
from clusterctl.api.rest import RestClient
from clusterctl.commands.job_follow import conclude, find
from clusterctl.context import context_of
from clusterctl.errors import LogMismatch
from clusterctl.options import AsJson, Follow, JobName, Output
from clusterctl.output.output import Document, Note, Result, Stream, note
from clusterctl.parsing import parse_job, parse_since
from clusterctl.views import logs as log_views
from clusterm import schemas
from clusterm.enums import ENDED


def logs(
    ctx: typer.Context,
    job: JobName = None,
    *,
    follow: Follow = False,
    node: Annotated[
        str | None, typer.Option("--node", metavar="NAME", help="Only lines of this node: name or address.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only lines of tasks with this text in their names, in any case.")
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only lines of failures, and three lines before and after each.")
    ] = False,
    grep: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only lines that contain this text. Not a regular expression.")
    ] = None,
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", "-i", help="For --grep: ignore upper and lower case.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Only the last N of these lines, and new ones.")
    ] = None,
    first: Annotated[
        int | None, typer.Option("--from", metavar="N", min=1, help="Begin with line N; the first line is 1.")
    ] = None,
    last: Annotated[int | None, typer.Option("--to", metavar="N", min=1, help="End with line N.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only lines from this time on: 2026-11-22T07:31:02Z, or 30m, 2h, 1d ago."),
    ] = None,
    timestamps: Annotated[
        bool,
        typer.Option("--timestamps", "-t", help="Begin each line with the time at which it was written."),
    ] = False,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Print the log of a job, or the lines that match all filters.

    Without a job: the log of the last job that ended; with --follow of the running one, if a job runs, and the exit
    code is 1 if the job does not end Complete. With --follow no line is lost or repeated if the connection breaks or
    the service restarts. With --json each line has its number, time, node and task; with --follow, too, each line is
    one JSON object.
    """
    context = context_of(ctx, as_json=as_json, output=output)
    client = context.rest
    text = log_views.log_text(timestamps=timestamps)
    lines = Lines(
        first=first,
        last=last,
        since=parse_since(since) if since else None,
        tail=tail,
        node=node,
        task=task,
        failed=failed,
        grep=grep,
        ignore_case=ignore_case,
    )
    if follow:
        found = read(schemas.Job, find(client, job)).id
        coming = following.log_lines(client, found, note, lines)
        return Result([Stream(coming, text, live=True)], then=lambda: conclude(following.end(client, found, note)))
    found_job = read(schemas.Job, client.job(parse_job(job or "last"), logs=False))
    stored = client.log_lines(found_job.id, lines)
    notes = _unreported_failures(found_job, node) if failed else []
    first_line = next(stored, None)
    if first_line is None:
        return Result([*(notes or [Note("no such lines")]), Stream(iter(()), text, live=False)])
    return Result([*notes, Stream(chain([first_line], stored), text, live=False)])


def _unreported_failures(job: schemas.Job, node: str | None) -> list[Note]:
    """Return a note about failures, of all nodes or one, for which ansible printed no line."""
    nodes = {failure.node: None for failure in job.failures if failure.line is None and node in {None, failure.node}}
    if not nodes:
        return []
    return [
        Note(
            f"ansible printed no line for the failures of {', '.join(nodes)}; "
            f"show their messages with: clusterctl job get {job.id} --no-logs"
        )
    ]


def verify(ctx: typer.Context, job: JobName = None, *, output: Output = None, as_json: AsJson = False) -> Result:
    """Check a job's log against the digest from the job's end.

    Compares the log with the number of lines, size and SHA-256 that were recorded when the job ended; exits with 1 if
    they differ. Without a job: the last one that ended. To check by hand: `clusterctl job logs ID | sha256sum`.
    """
    client = context_of(ctx, as_json=as_json, output=output).rest
    recorded = read(schemas.Job, client.job(parse_job(job or "last"), logs=False))
    if recorded.log_sha256 is None:
        raise LogMismatch(f"job {recorded.id} has no recorded digest to compare its log with: {_why_not(recorded)}")
    found = _measure(client, recorded.id)
    wanted = {"lines": recorded.lines, "bytes": recorded.log_bytes, "sha256": recorded.log_sha256}
    differences = [
        f"{found[name]} instead of {value} as {name}" for name, value in wanted.items() if found[name] != value
    ]
    answer = {"job": recorded.id, "verified": not differences, **found, "log_incomplete": recorded.log_incomplete}

    def check() -> Result:
        if differences:
            raise LogMismatch(
                f"the log of job {recorded.id} differs from what was recorded when the job ended: it has "
                f"{', '.join(differences)}; check the disk of the service's database"
            )
        return Result()

    return Result([Document(answer, log_views.verified)], then=check)


def _why_not(job: schemas.Job) -> str:
    if job.status not in ENDED:
        return f"it has not ended; wait for that with: clusterctl job wait {job.id}"
    if job.log_incomplete:
        return "its log is being deleted (section `retention` of the configuration)"
    return "it ended under a version of clusterm that recorded no size and SHA-256"


def _measure(client: RestClient, job: int) -> Json:
    """Return the number of lines, the size in bytes and the SHA-256 of a log as it is printed."""
    last = size = 0
    sha256 = hashlib.sha256()

    def counted() -> Iterator[Json]:
        nonlocal last
        for line in client.log_lines(job, Lines()):
            last = read(schemas.LogLine, line).seq
            yield line

    for text in log_views.log_text(timestamps=False)(counted()):
        data = text.encode()
        size += len(data)
        sha256.update(data)
    return {"lines": last, "bytes": size, "sha256": sha256.hexdigest()}
