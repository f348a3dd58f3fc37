"""`clusterctl job logs` and `clusterctl job verify`."""

import hashlib
from collections.abc import Iterator
from typing import Annotated

import typer

from clusterctl.api import following
from clusterctl.api.client import Client
from clusterctl.api.models import Json, Lines, read
from clusterctl.commands.jobs import conclude, find
from clusterctl.context import context_of
from clusterctl.errors import LogMismatch
from clusterctl.options import AsJson, Follow, JobName, Output
from clusterctl.output.output import Document, Result, Stream, note
from clusterctl.parsing import parse_job, parse_since
from clusterctl.views import logs as log_views
from clusterm.enums import ENDED
from clusterm.schemas import Job, LogLine


def logs(
    ctx: typer.Context,
    job: JobName = None,
    *,
    follow: Follow = False,
    node: Annotated[
        str | None, typer.Option("--node", metavar="NAME", help="Only lines of this node, by name or address.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only lines of tasks whose name contains this, in any case.")
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only lines of failed results, and the three before and after each.")
    ] = False,
    grep: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only lines that contain this text; it is no pattern.")
    ] = None,
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", "-i", help="For --grep: take upper and lower case for the same.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Only the last N of these lines, and those to come.")
    ] = None,
    first: Annotated[
        int | None, typer.Option("--from", metavar="N", min=1, help="Begin with line N; the first line is 1.")
    ] = None,
    last: Annotated[int | None, typer.Option("--to", metavar="N", min=1, help="End with line N.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Begin with what is newer: 2026-11-22T07:31:02Z, or 30m, 2h, 1d ago."),
    ] = None,
    timestamps: Annotated[
        bool,
        typer.Option("--timestamps", "-t", help="Begin each line with the time at which it was written."),
    ] = False,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Print a job's log lines, as ansible wrote them: all, or those that meet every condition.

    Without a job: those of the job that ended last; with --follow of the one that runs now, if there is one,
    and the exit code is 1 if it does not end Complete. With --follow nothing is lost or doubled when the
    connection breaks or the service restarts. With --json each line comes with its number, time, node and
    task; with --follow, too, as one JSON object on each line.
    """
    context = context_of(ctx, as_json=as_json, output=output)
    client = context.client
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
        found = read(Job, find(client, job)).id
        yield Stream(following.log_lines(client, found, note, lines), text, live=True)
        conclude(following.end(client, found, note))
    else:
        found = read(Job, client.job(parse_job(job or "last"), logs=False)).id
        yield Stream(_or_note(client.log_lines(found, lines)), text, live=False)


def verify(ctx: typer.Context, job: JobName = None, *, as_json: AsJson = False) -> Result:
    """Read a job's log, and compare it with what was recorded when the job ended; exit with 1 if they differ.

    Without a job: that of the job that ended last. By hand it is `clusterctl job logs ID | sha256sum`.
    """
    client = context_of(ctx, as_json=as_json).client
    recorded = read(Job, client.job(parse_job(job or "last"), logs=False))
    if recorded.log_sha256 is None:
        raise LogMismatch(f"job {recorded.id} has nothing to compare its log with: {_why_not(recorded)}")
    found = _measure(client, recorded.id)
    wanted = {"lines": recorded.lines, "bytes": recorded.log_bytes, "sha256": recorded.log_sha256}
    differences = [
        f"{found[name]} instead of {value} as {name}" for name, value in wanted.items() if found[name] != value
    ]
    answer = {"job": recorded.id, "verified": not differences, **found, "log_incomplete": recorded.log_incomplete}
    yield Document(answer, log_views.verified)
    if differences:
        raise LogMismatch(
            f"the log of job {recorded.id} is not what it was when the job ended: it has {', '.join(differences)}; "
            "look after the disk that the service keeps its database on"
        )


def _or_note(lines: Iterator[Json]) -> Iterator[Json]:
    """Yield lines; if there are none, tell the user so."""
    first = next(lines, None)
    if first is None:
        note("no such lines")
        return
    yield first
    yield from lines


def _why_not(job: Job) -> str:
    if job.status not in ENDED:
        return f"it has not ended; wait for that with: clusterctl job wait {job.id}"
    if job.log_incomplete:
        return "its log is being deleted, its time being over (section `retention` of the configuration)"
    return "it ended under a clusterm that did not record size and SHA-256 yet"


def _measure(client: Client, job: int) -> Json:
    """Return the number of lines, the size and the SHA-256 of a log as it is printed."""
    last = size = 0
    sha256 = hashlib.sha256()

    def counted() -> Iterator[Json]:
        nonlocal last
        for line in client.log_lines(job, Lines()):
            last = read(LogLine, line).seq
            yield line

    for text in log_views.log_text(timestamps=False)(counted()):
        data = text.encode()
        size += len(data)
        sha256.update(data)
    return {"lines": last, "bytes": size, "sha256": sha256.hexdigest()}
