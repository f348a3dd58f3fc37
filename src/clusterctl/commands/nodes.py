"""`clusterctl nodes` and `clusterctl discover`."""

from typing import Annotated

import typer

from clusterctl.aliases import Verbs
from clusterctl.commands.action import run
from clusterctl.commands.actions import add_action_commands
from clusterctl.commands.job_follow import started
from clusterctl.commands.job_start import job_members
from clusterctl.context import context_of
from clusterctl.errors import Usage
from clusterctl.options import (
    All,
    AsJson,
    ExtraVars,
    IdleTimeout,
    JobTimeout,
    NodeNames,
    OfHostGroup,
    OfState,
    OfStatus,
    Output,
    Queue,
    Wait,
)
from clusterctl.output.output import Document, Note, Result
from clusterctl.parsing import parse_extra_vars, read_lines
from clusterctl.views import nodes as node_views

nodes_app = typer.Typer(name="nodes", cls=Verbs, help="Show all nodes, or run an action on several.")


@nodes_app.command("get")
def get_all(
    ctx: typer.Context,
    names: NodeNames = None,
    *,
    status: OfStatus = None,
    state: OfState = None,
    host_group: OfHostGroup = None,
    contains: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only nodes with this text in the name, address or host group."),
    ] = None,
    every: All = False,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """List all nodes, or the selected ones.

    Shows address, host group, status, state and last event of each.
    """
    if every and names:
        raise Usage("give either names of nodes or --all, not both")
    client = context_of(ctx, as_json=as_json, output=output).rest
    answer = client.nodes(names or [], status=status, state=state, host_group=host_group, q=contains)
    parts: list[Document | Note] = [Document(answer, node_views.nodes, items=dict.values)]
    if not answer:
        selected = names or status or state or host_group or contains
        hint = "no nodes yet; add one with: clusterctl node add LABEL --addr ADDRESS"
        parts.append(Note("no such nodes" if selected else hint))
    return Result(parts)


add_action_commands(nodes_app)
nodes_app.command("run")(run)


def discover(
    ctx: typer.Context,
    addrs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ADDRESS",
            help="IP addresses, host names, ranges as 10.0.0.10-20 or 10.0.0.10-10.0.0.20, or networks as 10.0.0.0/24.",
        ),
    ] = None,
    *,
    file: Annotated[
        str | None,
        typer.Option(
            "--file", "-f", metavar="FILE", help="Read addresses from a file, or - for standard input. # is a comment."
        ),
    ] = None,
    extra_vars: ExtraVars = None,
    queue: Queue = False,
    job_timeout: JobTimeout = None,
    idle_timeout: IdleTimeout = None,
    wait: Wait = False,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Print the job's log while it is written, until the job ends; exit as --wait."),
    ] = False,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Prepare machines at addresses and add them as nodes.

    Runs the configure playbook on the addresses, in the inventory group cluster-node. When the job ends, the machines
    on which it passed become nodes, named by host name and serial, unless `ansible.register_discovered` leaves that to
    monitoring. To add a node without running a playbook: `clusterctl node add`.
    """
    context = context_of(ctx, as_json=as_json, output=output)
    if not addrs and not file:
        raise Usage("no addresses given: give addresses or --file; see: clusterctl discover --help")
    terms = {"queue": queue, "job_timeout": job_timeout, "idle_timeout": idle_timeout}
    job = context.rest.discover(
        [*(addrs or []), *(read_lines(file) if file else [])],
        extra_vars=parse_extra_vars(extra_vars),
        **job_members(terms),
    )
    return started(context, job, wait=wait, follow=follow)
