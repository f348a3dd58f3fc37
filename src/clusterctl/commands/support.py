"""`clusterctl support-bundle`: one file to attach to a report."""

from typing import Annotated

import typer

from clusterctl.api.models import Json
from clusterctl.context import context_of
from clusterctl.options import AsJson, Since
from clusterctl.output.output import Document, Result, View, note
from clusterctl.parsing import parse_since


def support_bundle(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE.tar.gz", help="The file to write; - writes to standard output.")],
    *,
    jobs: Annotated[int, typer.Option(metavar="N", min=0, help="With the last N jobs and their logs.")] = 10,
    since: Since = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
    as_json: AsJson = False,
) -> Result:
    """Collect all that tells somebody else what is wrong, in one file to attach to a report.

    Nodes, their events, the timeline, jobs with their logs, configuration, globals, versions and health, each in a
    file that the README inside explains. Values that look secret are masked; a secret that a playbook prints by
    itself is not, so look through the logs. What the service cannot give is noted inside. With --since only what
    happened since then.
    """
    from clusterctl.archive import written  # noqa: PLC0415 -- slow to load, and nobody else needs them
    from clusterctl.support_bundle import Bundle  # noqa: PLC0415

    client = context_of(ctx, as_json=as_json).client
    moment = parse_since(since) if since else None
    client.alive()  # where there is no service, nothing at all is written
    with written(file, force=force) as archive:
        bundle = Bundle(client, archive)
        bundle.collect(jobs=jobs, since=moment)
    for line in bundle.missing:
        note(f"missing: {line}")
    if file != "-":
        yield Document({"file": file, "nodes": bundle.nodes, "jobs": bundle.jobs, "missing": bundle.missing}, _summary)


def _summary(data: Json) -> View:
    yield f"{data['file']}: {data['nodes']} nodes, {data['jobs']} jobs; look through it before you give it away\n"
