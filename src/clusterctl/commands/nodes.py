"""`clusterctl node`, `clusterctl nodes` and `clusterctl discover`.

What starts a job is the same command under `node` and `nodes`.
"""

from typing import Annotated

import typer

from clusterctl import tables
from clusterctl.aliases import Verbs
from clusterctl.client import read
from clusterctl.commands import jobs
from clusterctl.commands.starting import Start, selection
from clusterctl.errors import Usage
from clusterctl.options import (
    All,
    AsJson,
    Check,
    Cursor,
    DryRun,
    ExtraVars,
    Follow,
    HostGroup,
    IdleTimeout,
    InGroup,
    JobTimeout,
    LimitBatch,
    NodeName,
    NodeNames,
    OfHostGroup,
    OfState,
    OfStatus,
    Queue,
    Wait,
)
from clusterctl.session import session_of
from clusterctl.show import Document, Result, note, page_items
from clusterctl.values import parse_extra_vars
from clusterm.schemas import Event, Page
from clusterm.states import Action

node_app = typer.Typer(name="node", cls=Verbs, help="See one node, add one, or take it through its lifecycle.")
nodes_app = typer.Typer(name="nodes", cls=Verbs, help="See all nodes, or take several through their lifecycle at once.")


@node_app.command("get")
def get(ctx: typer.Context, name: NodeName, *, as_json: AsJson = False) -> Result:
    """Show a node: address, host group, status, state and latest events."""
    yield Document(session_of(ctx, as_json=as_json).client.node(name), tables.node)


@node_app.command("add")
def add(
    ctx: typer.Context,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="What to call the node.")],
    addr: Annotated[str, typer.Option(metavar="ADDRESS", help="Its management address: IP address or host name.")],
    *,
    serial: Annotated[
        str | None,
        typer.Option(metavar="SERIAL", help="What tells it from others of that label. Default: made of the address."),
    ] = None,
    as_json: AsJson = False,
) -> Result:
    """Make a node known to the cluster, as if monitoring had discovered it, and show it.

    The node's name will be `<label>-<serial>`. Nothing is run on it: `clusterctl node commission` does that.
    Adding a node again says that it can be reached (again), at this address.
    """
    client = session_of(ctx, as_json=as_json).client
    serial = serial or addr.replace(":", "-").strip("-.")
    client.announce(label, serial, addr)
    yield Document(client.node(f"{label}-{serial}"), tables.node)


@node_app.command("events")
def events(
    ctx: typer.Context,
    name: NodeName,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, metavar="N", help="How many at most.")] = 30,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> Result:
    """Show what happened to a node, newest last."""
    page = session_of(ctx, as_json=as_json).client.node_events(name, limit=limit, cursor=cursor)
    yield Document(page, tables.events, items=page_items)
    shown = read(Page[Event], page)
    if not shown.items:
        note(f"nothing has happened to {name}")
    if shown.next:
        note(f"there are older ones; see them with --cursor {shown.next}")


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
    client = session_of(ctx, as_json=as_json).client
    answer = client.nodes(names or [], status=status, state=state, host_group=host_group)
    yield Document(answer, tables.nodes, items=dict.values)
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
    Decommissioned, and need a --host-group; the first must be a service-master, for a service-worker needs
    one.
    """
    start = Start(session_of(ctx, as_json=as_json), dry_run=dry_run, wait=wait, follow=follow)
    yield from start(
        Action.COMMISSION,
        names,
        selection(names, status, state, in_group, every=every),
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
    that failed. The last service-master can only go when no service-worker is left.
    """
    start = Start(session_of(ctx, as_json=as_json), dry_run=dry_run, wait=wait, follow=follow)
    yield from start(
        Action.DECOMMISSION,
        names,
        selection(names, status, state, in_group, every=every),
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
    start = Start(session_of(ctx, as_json=as_json), dry_run=dry_run, wait=wait, follow=follow)
    yield from start(
        Action.UPDATE,
        names,
        selection(names, status, state, in_group, every=every),
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
    addrs: Annotated[list[str], typer.Argument(metavar="ADDRESS", help="IP addresses or host names.")],
    *,
    extra_vars: ExtraVars = None,
    queue: Queue = False,
    job_timeout: JobTimeout = None,
    idle_timeout: IdleTimeout = None,
    wait: Wait = False,
    follow: Follow = False,
    as_json: AsJson = False,
) -> Result:
    """Prepare machines that are no nodes yet.

    Runs the configure playbook on the addresses, in the inventory group cluster-node, so that it can install
    what makes them known as nodes, such as Serf. To add a node by hand there is `clusterctl node add`.
    """
    session = session_of(ctx, as_json=as_json)
    job = session.client.discover(
        addrs,
        extra_vars=parse_extra_vars(extra_vars),
        queue=queue,
        job_timeout=job_timeout,
        idle_timeout=idle_timeout,
    )
    yield from jobs.started(session, job, wait=wait, follow=follow)
