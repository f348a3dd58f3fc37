"""`clusterctl node`, `clusterctl nodes` and `clusterctl discover`.

What starts a job is the same command under `node` and `nodes`.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

import typer

from clusterctl import following, tables
from clusterctl.aliases import Verbs
from clusterctl.client import Json, read
from clusterctl.commands import jobs
from clusterctl.commands.starting import Start, selection
from clusterctl.commands.timeline import COLUMNS
from clusterctl.errors import Usage
from clusterctl.explanation import explanation
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
    Output,
    Queue,
    Since,
    Wait,
)
from clusterctl.session import session_of
from clusterctl.show import Document, Result, Stream, note, page_items
from clusterctl.values import parse_extra_vars, parse_since, read_lines
from clusterm.schemas import Event, Page
from clusterm.states import Action

_LARGEST_PAGE: Final = 1000

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
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many at most.")] = 30,
    since: Since = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on printing events as they happen, until Ctrl-C.")
    ] = False,
    cursor: Cursor = None,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Show what happened to a node, newest last. `-o csv` prints a row for each event."""
    if follow and cursor:
        raise Usage("--cursor leads to older events, --follow to those to come: use one of them")
    ask = partial(session_of(ctx, as_json=as_json, csv=True, output=output).client.node_events, name)
    moment = parse_since(since) if since else None
    if follow:
        coming = following.events(ask, note, limit=limit, since=moment)
        yield Stream(coming, tables.event_text, live=True, columns=COLUMNS)
        return
    page = _newest(ask, limit, since=moment, cursor=cursor)
    yield Document(page, tables.node_events, items=page_items, columns=COLUMNS)
    shown = read(Page[Event], page)
    if not shown.items:
        note("no such events" if since or cursor else f"nothing has happened to {name}")
    if shown.next:
        note(f"there are older ones; see them with --cursor {shown.next}")


@node_app.command("explain")
def explain(ctx: typer.Context, name: NodeName, *, as_json: AsJson = False) -> Result:
    """Explain a node: what its status means, since when and by which job, where it failed, and what to do next.

    Says for every command whether it would be taken as things are, and if not why.
    """
    yield Document(session_of(ctx, as_json=as_json).client.explanation(name), explanation)


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
    Decommissioned, and need a --host-group; the first must be a master, for a worker needs one.
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
    that failed. The last master can only go when no worker is left.
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
    session = session_of(ctx, as_json=as_json)
    if not addrs and not file:
        raise Usage("say which addresses, or give --file; see: clusterctl discover --help")
    job = session.client.discover(
        [*(addrs or []), *(read_lines(file) if file else [])],
        extra_vars=parse_extra_vars(extra_vars),
        queue=queue,
        job_timeout=job_timeout,
        idle_timeout=idle_timeout,
    )
    yield from jobs.started(session, job, wait=wait, follow=follow)


def _newest(ask: Callable[..., Json], limit: int, *, cursor: str | None, **terms: Any) -> Json:
    """Return the newest events in one page, however many pages of the service that takes."""
    page = ask(limit=min(limit, _LARGEST_PAGE), cursor=cursor, **terms)
    while page["next"] and (missing := limit - len(page["items"])) > 0:
        older = ask(limit=min(missing, _LARGEST_PAGE), cursor=page["next"], **terms)
        page = {**older, "items": older["items"] + page["items"]}
    return page
