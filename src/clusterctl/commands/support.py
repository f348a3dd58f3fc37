"""`clusterctl support-bundle`: one file to attach to a bug report."""

from typing import Annotated

import typer

from clusterctl.api.models import Json
from clusterctl.context import context_of
from clusterctl.options import AsJson, Output, Since
from clusterctl.output.output import Document, Note, Part, Result, View
from clusterctl.parsing import parse_since


def support_bundle(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE.tar.gz", help="The file to write; - writes to standard output.")],
    *,
    jobs: Annotated[int, typer.Option(metavar="N", min=0, help="Include the last N jobs and their logs.")] = 10,
    since: Since = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Write state, events and logs to a file for bug reports.

    The file contains nodes, their events, the timeline, jobs with their logs, configuration, globals, versions and
    health, each in a file that the README inside explains. Values that look secret are masked; a secret that a
    playbook prints is not, so read the logs before you share the file. What the service refuses is listed inside.
    --since leaves out older events and jobs.
    """
    from clusterctl.archive import written  # noqa: PLC0415 -- slow to load, and only needed here
    from clusterctl.support_bundle import Bundle  # noqa: PLC0415

    client = context_of(ctx, as_json=as_json, output=output).rest
    moment = parse_since(since) if since else None
    client.alive()  # before the file is created
    with written(file, force=force) as archive:
        bundle = Bundle(client, archive)
        bundle.collect(jobs=jobs, since=moment)
    parts: list[Part] = [Note(f"missing: {line}") for line in bundle.missing]
    if file != "-":
        summary = {"file": file, "nodes": bundle.nodes, "jobs": bundle.jobs, "missing": bundle.missing}
        parts.append(Document(summary, _summary))
    return Result(parts)


def _summary(data: Json) -> View:
    yield f"{data['file']}: {data['nodes']} nodes, {data['jobs']} jobs; review it before you share it\n"
