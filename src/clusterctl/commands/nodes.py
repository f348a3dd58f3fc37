"""`clusterctl nodes` and `clusterctl discover`."""

from typing import Annotated

import typer

from clusterctl.aliases import Verbs
from clusterctl.commands import jobs
from clusterctl.commands.job_start import Start, node_selection
from clusterctl.commands.node import node_app
from clusterctl.context import context_of
from clusterctl.errors import Usage
from clusterctl.options import (
    All,
    AsJson,
    Check,
    DryRun,
    ExtraVars,
    Follow,
    HostGroup,
    IdleTimeout,
    InGroup,
    JobTimeout,
    LimitBatch,
    NodeNames,
    OfHostGroup,
    OfState,
    OfStatus,
    Queue,
    Wait,
)
from clusterctl.output.output import Document, Result, note
from clusterctl.parsing import parse_extra_vars, read_lines
from clusterctl.views import nodes as node_views
from clusterm.enums import Action

nodes_app = typer.Typer(name="nodes", cls=Verbs, help="See all nodes, or take several through their lifecycle at once.")


@nodes_app.command("get")
def get_all(
    ctx: typer.Context,
    names: NodeNames = None,
    *,
    status: OfStatus = None,
    state: OfState = None,
    host_group: OfHostGroup = None,
    every: All = False,
    as_json: AsJson = False,
) -> Result:
    """Show all nodes, or those selected: address, host group, status, state and last event."""
    if every and names:
        raise Usage("either name nodes or say --all, not both")
    client = context_of(ctx, as_json=as_json).client
    answer = client.nodes(names or [], status=status, state=state, host_group=host_group)
    yield Document(answer, node_views.nodes, items=dict.values)
    if not answer:
        selected = names or status or state or host_group
        note("no such nodes" if selected else "no nodes yet; add one with: clusterctl node add LABEL --addr ADDRESS")


@node_app.command("commission")
@nodes_app.command("commission")
def commission(
    ctx: typer.Context,
    names: NodeNames = None,
    *,
    status: OfStatus = None,
    state: OfState = None,
    in_group: InGroup = None,
    every: All = False,
    host_group: HostGroup = None,
    extra_vars: ExtraVars = None,
    dry_run: DryRun = False,
    check: Check = False,
    limit_batch: LimitBatch = None,
    queue: Queue = False,
    job_timeout: JobTimeout = None,
    idle_timeout: IdleTimeout = None,
    wait: Wait = False,
    follow: Follow = False,
    as_json: AsJson = False,
) -> Result:
    """Make nodes part of the cluster.

    Runs the configure playbook on them, and the cleanup playbook if that fails. They must be Unallocated or
    Decommissioned, and need a --host-group; the first must be a master, for a worker needs one.
    """
    start = Start(context_of(ctx, as_json=as_json), dry_run=dry_run, wait=wait, follow=follow)
    yield from start(
        Action.COMMISSION,
        names,
        node_selection(names, status, state, in_group, every=every),
        host_group=host_group,
        extra_vars=parse_extra_vars(extra_vars),
        check=check,
        limit_batch=limit_batch,
        queue=queue,
        job_timeout=job_timeout,
        idle_timeout=idle_timeout,
    )


@node_app.command("decommission")
@nodes_app.command("decommission")
def decommission(
    ctx: typer.Context,
    names: NodeNames = None,
    *,
    status: OfStatus = None,
    state: OfState = None,
    in_group: OfHostGroup = None,
    every: All = False,
    extra_vars: ExtraVars = None,
    dry_run: DryRun = False,
    check: Check = False,
    limit_batch: LimitBatch = None,
    queue: Queue = False,
    job_timeout: JobTimeout = None,
    idle_timeout: IdleTimeout = None,
    wait: Wait = False,
    follow: Follow = False,
    as_json: AsJson = False,
) -> Result:
    """Take nodes out of the cluster.

    Runs the cleanup playbook on them. They must be Allocated, or Unallocated to clean up after a commission
    that failed. The last master can only go when no worker is left.
    """
    start = Start(context_of(ctx, as_json=as_json), dry_run=dry_run, wait=wait, follow=follow)
    yield from start(
        Action.DECOMMISSION,
        names,
        node_selection(names, status, state, in_group, every=every),
        extra_vars=parse_extra_vars(extra_vars),
        check=check,
        limit_batch=limit_batch,
        queue=queue,
        job_timeout=job_timeout,
        idle_timeout=idle_timeout,
    )


@node_app.command("update")
@nodes_app.command("update")
def update(
    ctx: typer.Context,
    names: NodeNames = None,
    *,
    status: OfStatus = None,
    state: OfState = None,
    in_group: InGroup = None,
    every: All = False,
    host_group: HostGroup = None,
    extra_vars: ExtraVars = None,
    dry_run: DryRun = False,
    check: Check = False,
    limit_batch: LimitBatch = None,
    queue: Queue = False,
    job_timeout: JobTimeout = None,
    idle_timeout: IdleTimeout = None,
    wait: Wait = False,
    follow: Follow = False,
    as_json: AsJson = False,
) -> Result:
    """Configure nodes of the cluster anew.

    Runs the cleanup playbook and then the configure playbook on them, and cleanup again if that fails. They
    must be Allocated. With --host-group they change to that group.
    """
    start = Start(context_of(ctx, as_json=as_json), dry_run=dry_run, wait=wait, follow=follow)
    yield from start(
        Action.UPDATE,
        names,
        node_selection(names, status, state, in_group, every=every),
        host_group=host_group,
        extra_vars=parse_extra_vars(extra_vars),
        check=check,
        limit_batch=limit_batch,
        queue=queue,
        job_timeout=job_timeout,
        idle_timeout=idle_timeout,
    )


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
        typer.Option("--follow", help="Print the job's log lines as they are written until it ends; exit as --wait."),
    ] = False,
    as_json: AsJson = False,
) -> Result:
    """Prepare machines that are no nodes yet.

    Runs the configure playbook on the addresses, in the inventory group cluster-node. When the job is done, those that
    passed are nodes, called by their host name and serial, unless monitoring is to announce them. To add a node by hand
    there is `clusterctl node add`.
    """
    context = context_of(ctx, as_json=as_json)
    if not addrs and not file:
        raise Usage("say which addresses, or give --file; see: clusterctl discover --help")
    job = context.client.discover(
        [*(addrs or []), *(read_lines(file) if file else [])],
        extra_vars=parse_extra_vars(extra_vars),
        queue=queue,
        job_timeout=job_timeout,
        idle_timeout=idle_timeout,
    )
    yield from jobs.started(context, job, wait=wait, follow=follow)
