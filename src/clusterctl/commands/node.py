"""`clusterctl node`."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

import typer

from clusterctl.aliases import Verbs
from clusterctl.api import following
from clusterctl.api.models import Json, read
from clusterctl.commands.timeline import COLUMNS
from clusterctl.context import context_of
from clusterctl.errors import Usage
from clusterctl.inventory import read_inventory
from clusterctl.options import (
    AsJson,
    Cursor,
    HostGroup,
    NodeName,
    Output,
    Since,
)
from clusterctl.output.output import Document, Result, Stream, note, page_items
from clusterctl.parsing import parse_host_vars, parse_keys, parse_since
from clusterctl.views import events as event_views
from clusterctl.views import nodes as node_views
from clusterctl.views.explanation import explanation
from clusterm.schemas import Event, ImportAnswer, Page

_LARGEST_PAGE: Final = 1000

node_app = typer.Typer(name="node", cls=Verbs, help="See one node, add one, or take it through its lifecycle.")


@node_app.command("get")
def get(ctx: typer.Context, name: NodeName, *, as_json: AsJson = False) -> Result:
    """Show a node: address, host group, status, state and latest events."""
    yield Document(context_of(ctx, as_json=as_json).client.node(name), node_views.node)


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
    client = context_of(ctx, as_json=as_json).client
    serial = serial or addr.replace(":", "-").strip("-.")
    client.announce(label, serial, addr)
    yield Document(client.node(f"{label}-{serial}"), node_views.node)


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
    ask = partial(context_of(ctx, as_json=as_json, csv=True, output=output).client.node_events, name)
    moment = parse_since(since) if since else None
    if follow:
        coming = following.events(ask, note, limit=limit, since=moment)
        yield Stream(coming, event_views.event_text, live=True, columns=COLUMNS)
        return
    page = _newest(ask, limit, since=moment, cursor=cursor)
    yield Document(page, event_views.node_events, items=page_items, columns=COLUMNS)
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
    yield Document(context_of(ctx, as_json=as_json).client.explanation(name), explanation)


def _newest(ask: Callable[..., Json], limit: int, *, cursor: str | None, **terms: Any) -> Json:
    """Return the newest events in one page, however many pages of the service that takes."""
    page = ask(limit=min(limit, _LARGEST_PAGE), cursor=cursor, **terms)
    while page["next"] and (missing := limit - len(page["items"])) > 0:
        older = ask(limit=min(missing, _LARGEST_PAGE), cursor=page["next"], **terms)
        page = {**older, "items": older["items"] + page["items"]}
    return page


def set_node(
    ctx: typer.Context,
    name: NodeName,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Host vars, of text. KEY= takes one away. For others than text give a JSON object, "
            "or @FILE to read JSON or YAML from a file.",
        ),
    ] = None,
    *,
    host_group: HostGroup = None,
    as_json: AsJson = False,
) -> Result:
    """Set a node's host vars, or its host group, for the jobs to come, and show it.

    Nothing is run on it. The host group of a node that is part of the cluster is changed by `clusterctl node update`.
    """
    client = context_of(ctx, as_json=as_json).client
    host_vars = parse_host_vars(settings or [])
    if not host_vars and not host_group:
        raise Usage(f"nothing to set: say KEY=VALUE or --host-group; see what is set with: clusterctl node get {name}")
    yield Document(client.set_node(name, host_group=host_group or "", host_vars=host_vars), node_views.node)


def rename(
    ctx: typer.Context,
    name: NodeName,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name, `<label>-<serial>`.")],
    *,
    as_json: AsJson = False,
) -> Result:
    """Give a node another name, and show it. Its history goes with it.

    Monitoring has to call it so, too, or it will report the old name as another node at the same address.
    """
    yield Document(context_of(ctx, as_json=as_json).client.rename_node(name, new), node_views.node)


def remove(
    ctx: typer.Context,
    name: NodeName,
    *,
    force: Annotated[bool, typer.Option("--force", help="Also if it is part of the cluster.")] = False,
    as_json: AsJson = False,
) -> Result:
    """Forget a node, and show it as it was.

    It must be decommissioned, or never have been commissioned. Nothing is run on it, and what happened to it is kept:
    `clusterctl node events`. Where monitoring still sees it, it will be discovered again.
    """
    yield Document(context_of(ctx, as_json=as_json).client.remove_node(name, force=force), node_views.node)


def trust(
    ctx: typer.Context,
    name: NodeName,
    keys: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY",
            help="A host key, as a line of the machine's /etc/ssh/ssh_host_*_key.pub or of ssh-keyscan; "
            "@FILE, or @- for standard input, to read such lines.",
        ),
    ],
    *,
    as_json: AsJson = False,
) -> Result:
    """Say which ssh host keys a node has, in the place of those that are known. Jobs to come accept no others.

    The name may also be an IP address that is no node's yet, to be discovered.
    """
    client = context_of(ctx, as_json=as_json).client
    yield Document(client.set_host_keys(name, parse_keys(keys)), node_views.host_keys)


def forget_key(ctx: typer.Context, name: NodeName, *, as_json: AsJson = False) -> Result:
    """Forget the ssh host keys of a node, as after it was installed anew.

    The key that it has the next time a job goes there is trusted then, unless `ansible.host_key_checking` is strict.
    """
    answer = context_of(ctx, as_json=as_json).client.set_host_keys(name, [])
    yield Document(answer, node_views.host_keys)
    if not answer.get("forgotten"):
        note(f"no host key of {name} was known")


def import_nodes(
    ctx: typer.Context,
    inventory: Annotated[
        str, typer.Argument(metavar="INVENTORY", help="An inventory of ansible's: INI, YAML, a script or a directory.")
    ],
    *,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="GROUP=HOST_GROUP",
            help="Which host group a group of the inventory means. One that is called like a host group means that. "
            "Can be repeated.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would become of each node.")] = False,
    as_json: AsJson = False,
) -> Result:
    """Make the hosts of an ansible inventory known as nodes, with their host vars.

    A host becomes a node called by its name and a serial that is made of its address; its address is ansible_host, or
    its name. It has the vars of its groups for its own. Nodes that exist are left as they are, so the same inventory
    can be imported again when it has grown. Nothing is run on them.
    """
    client = context_of(ctx, as_json=as_json).client
    means = {}
    for text in groups or []:
        group, equals, host_group = text.partition("=")
        if not group or not equals or not host_group:
            raise Usage(f"--map: {text!r} is not GROUP=HOST_GROUP")
        means[group] = host_group
    nodes = read_inventory(inventory)
    answer = client.import_nodes(nodes, means, dry_run=dry_run)
    yield Document(answer, node_views.imported, items=lambda data: data["nodes"])
    outcomes = read(ImportAnswer, answer).nodes
    done = sum(outcome.imported for outcome in outcomes)
    what = "would be imported" if dry_run else "imported"
    note(f"{done} of {len(outcomes)} hosts {what}" if outcomes else f"{inventory} names no hosts")
