"""`clusterctl node`: shows, adds, changes and removes a node."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

import typer

from clusterctl.aliases import Verbs
from clusterctl.api import following
from clusterctl.api.models import Json, read
from clusterctl.commands.actions import add_action_commands
from clusterctl.commands.timeline import COLUMNS
from clusterctl.context import context_of
from clusterctl.errors import NothingImported, Usage
from clusterctl.inventory.reader import Finding, by_variable, check_names, read_inventory
from clusterctl.options import AsJson, Cursor, FollowEvents, HostGroup, NodeName, Output, Since
from clusterctl.output.output import Document, Note, Part, Result, Stream, note, page_items
from clusterctl.parsing import parse_group_map, parse_host_vars, parse_keys, parse_labels, parse_since
from clusterctl.views import events as event_views
from clusterctl.views import nodes as node_views
from clusterctl.views.explanation import explanation
from clusterm import schemas
from clusterm.common.addresses import parse_place
from clusterm.common.node_names import serial_from_place

_LARGEST_PAGE: Final = 1000

node_app = typer.Typer(name="node", cls=Verbs, help="Show or change a node, or run an action on it.")


@node_app.command("get")
def get(ctx: typer.Context, name: NodeName, *, output: Output = None, as_json: AsJson = False) -> Result:
    """Show a node: address, host group, status and events."""
    return Result([Document(context_of(ctx, as_json=as_json, output=output).rest.node(name), node_views.node)])


@node_app.command("add")
def add(
    ctx: typer.Context,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="First part of the node's name.")],
    addr: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS[:PORT]",
            help="Its management address: IP address or host name, and the port of its ssh server if it is not 22. "
            "An IPv6 address with a port is in brackets.",
        ),
    ],
    *,
    serial: Annotated[
        str | None,
        typer.Option(
            metavar="SERIAL",
            help="Second part of the node's name, unique among nodes of the label. Default: made from the address.",
        ),
    ] = None,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Add a node without running a playbook, and show it.

    Does what monitoring does when it discovers a node. The node's name is `<label>-<serial>`. To make the node part of
    the cluster: `clusterctl node commission`. Adding a node again marks it as reachable, at this address.
    """
    client = context_of(ctx, as_json=as_json, output=output).rest
    (name,) = client.announce(label, serial or _serial_from(addr), addr)
    return Result([Document(client.node(name), node_views.node)])


def _serial_from(addr: str) -> str:
    try:
        return serial_from_place(parse_place(addr))
    except ValueError as error:
        raise Usage(f"--addr: {error}") from None


@node_app.command("events")
def events(
    ctx: typer.Context,
    name: NodeName,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="Maximum number of events.")] = 30,
    since: Since = None,
    follow: FollowEvents = False,
    cursor: Cursor = None,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Show the events of a node, newest last.

    `-o csv` prints a row for each event.
    """
    if follow and cursor:
        raise Usage("--cursor shows older events, --follow new ones: use one of them")
    ask = partial(context_of(ctx, as_json=as_json, csv=True, output=output).rest.node_events, name)
    moment = parse_since(since) if since else None
    if follow:
        coming = following.events(ask, note, limit=limit, since=moment)
        return Result([Stream(coming, event_views.event_text, live=True, columns=COLUMNS)])
    page = _newest(ask, limit, since=moment, cursor=cursor)
    then = partial(_page_notes, page, "no such events" if since or cursor else f"{name} has no events")
    return Result([Document(page, event_views.node_events, items=page_items, columns=COLUMNS)], then=then)


def _newest(ask: Callable[..., Json], limit: int, *, cursor: str | None, **terms: Any) -> Json:
    """Return the newest events as one page, from as many pages of the service as needed."""
    page = ask(limit=min(limit, _LARGEST_PAGE), cursor=cursor, **terms)
    while page["next"] and (missing := limit - len(page["items"])) > 0:
        older = ask(limit=min(missing, _LARGEST_PAGE), cursor=page["next"], **terms)
        page = {**older, "items": older["items"] + page["items"]}
    return page


def _page_notes(page: Json, empty: str) -> Result:
    shown = read(schemas.Page[schemas.Event], page)
    notes = [] if shown.items else [Note(empty)]
    if shown.next:
        notes.append(Note(f"older events exist; show them with --cursor {shown.next}"))
    return Result(notes)


@node_app.command("explain")
def explain(ctx: typer.Context, name: NodeName, *, output: Output = None, as_json: AsJson = False) -> Result:
    """Explain a node's status, its failures and what to do next.

    Shows what the status means, since when and by which job the node has it, where a job failed, and for each command
    whether the service would accept it now, and if not why.
    """
    return Result([Document(context_of(ctx, as_json=as_json, output=output).rest.explanation(name), explanation)])


add_action_commands(node_app)


@node_app.command("set")
def set_node(
    ctx: typer.Context,
    name: NodeName,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Host vars with text values. KEY= removes one. For other types give a JSON object, or @FILE to read "
            "JSON or YAML from a file.",
        ),
    ] = None,
    *,
    host_group: HostGroup = None,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Set a node's host vars or host group, and show it.

    Later jobs use them; no playbook is run. To move a node that is part of the cluster to another host group:
    `clusterctl node update`.
    """
    client = context_of(ctx, as_json=as_json, output=output).rest
    host_vars = parse_host_vars(settings or [])
    if not host_vars and not host_group:
        raise Usage(f"nothing to set: give KEY=VALUE or --host-group; see what is set with: clusterctl node get {name}")
    return Result([Document(client.set_node(name, host_group=host_group or "", host_vars=host_vars), node_views.node)])


@node_app.command("rename")
def rename(
    ctx: typer.Context,
    name: NodeName,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new name, `<label>-<serial>`.")],
    *,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Rename a node, and show it. Its events stay with it.

    Monitoring must use the new name, too; otherwise it reports the old name as another node at the same address.
    """
    return Result(
        [Document(context_of(ctx, as_json=as_json, output=output).rest.rename_node(name, new), node_views.node)]
    )


@node_app.command("remove")
def remove(
    ctx: typer.Context,
    name: NodeName,
    *,
    force: Annotated[bool, typer.Option("--force", help="Also if the node is part of the cluster.")] = False,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Remove a node, and show its last state.

    The node must be Decommissioned, or never have been commissioned. No playbook is run. Its events are kept:
    `clusterctl node events`. If monitoring still reports the node, it is discovered again.
    """
    return Result(
        [Document(context_of(ctx, as_json=as_json, output=output).rest.remove_node(name, force=force), node_views.node)]
    )


@node_app.command("trust")
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
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Set the ssh host keys of a node, replacing the known ones.

    Later jobs accept no other keys. The name may also be the IP address of a machine that is yet to be discovered.
    """
    client = context_of(ctx, as_json=as_json, output=output).rest
    return Result([Document(client.set_host_keys(name, parse_keys(keys)), node_views.host_keys)])


@node_app.command("forget-key")
def forget_key(ctx: typer.Context, name: NodeName, *, output: Output = None, as_json: AsJson = False) -> Result:
    """Forget the ssh host keys of a reinstalled node.

    The next job on the node trusts the key that it finds, unless `ansible.host_key_checking` is strict.
    """
    answer = context_of(ctx, as_json=as_json, output=output).rest.set_host_keys(name, [])
    parts: list[Document | Note] = [Document(answer, node_views.host_keys)]
    if not answer.get("forgotten"):
        parts.append(Note(f"no host key of {name} was known"))
    return Result(parts)


@node_app.command("import")
def import_nodes(
    ctx: typer.Context,
    inventory: Annotated[
        str, typer.Argument(metavar="INVENTORY", help="An ansible inventory: INI, YAML, a script or a directory.")
    ],
    *,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="GROUP=HOST_GROUP",
            help="The host group for a group of the inventory. Can be repeated: of several that apply to a host, the "
            "first one decides; `all` is every host's. A group with the name of a host group needs no mapping.",
        ),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="HOST=LABEL",
            help="The label of a host's node. Default: the host's name. Can be repeated.",
        ),
    ] = None,
    without_vars: Annotated[
        list[str] | None,
        typer.Option(
            "--without-vars",
            metavar="GLOB",
            help="Variables not to import, such as variables that playbooks find in their group_vars. Can be repeated.",
        ),
    ] = None,
    vault_password_files: Annotated[
        list[str] | None,
        typer.Option(
            "--vault-password-file",
            metavar="FILE",
            help="Password of values encrypted with ansible-vault, as for ansible-inventory. Default: what ansible.cfg "
            "says. Can be repeated.",
        ),
    ] = None,
    vault_ids: Annotated[
        list[str] | None,
        typer.Option(
            "--vault-id",
            metavar="ID",
            help="Vault identity, as for ansible-inventory: `label@file`, or `@prompt` to enter the password. "
            "Can be repeated.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which hosts would be imported.")] = False,
    output: Output = None,
    as_json: AsJson = False,
) -> Result:
    """Add the hosts of an ansible inventory as nodes.

    A node's name is the host's name and a serial made from its address; its address is ansible_host, or the host's
    name. Host vars and the vars of the host's groups become host vars of the node, with their templates evaluated.
    Existing nodes are not changed, so the same inventory can be imported again when it has grown. No playbook is run.
    Exits with 1 if hosts were rejected and none was imported.
    """
    client = context_of(ctx, as_json=as_json, output=output).rest
    group_map, label_map = parse_group_map(groups or []), parse_labels(labels or [])
    vault_options = [f"--vault-password-file={file}" for file in vault_password_files or []]
    vault_options += [f"--vault-id={identity}" for identity in vault_ids or []]
    content = read_inventory(inventory, vault_options, without_vars or [])
    check_names(group_map, "--map", content.groups, "group")
    check_names(label_map, "--label", (node["host"] for node in content.nodes), "host")
    for node in content.nodes:
        if node["host"] in label_map:
            node["label"] = label_map[node["host"]]
    answer = client.import_nodes(content.nodes, group_map, dry_run=dry_run)
    parts: list[Part] = [Note(f"warning: {text}") for text in content.warnings]
    parts.append(Document(answer, node_views.imported, items=lambda data: data["nodes"]))
    return Result(parts, then=partial(_import_notes, answer, inventory))


def _import_notes(response: Json, inventory: str) -> Result:
    """Return what the table of an import does not say.

    Raises:
        NothingImported: no host was imported, and some were rejected.
    """
    answer = read(schemas.ImportAnswer, response)
    outcomes = answer.nodes
    if not outcomes:
        return Result([Note(f"{inventory} has no hosts")])
    left_out = (Finding(o.host, name, reason) for o in outcomes for name, reason in o.left_out.items())
    notes = [Note(f"{variables} not imported: {reason}") for variables, reason in by_variable(left_out)]
    done, existing = sum(o.imported for o in outcomes), sum(o.exists for o in outcomes)
    what = "would be imported" if answer.dry_run else "imported"
    count = f"{done} of {len(outcomes)} hosts {what}{f', {existing} exist already' if existing else ''}"
    if not done and existing < len(outcomes):
        return Result(notes, then=partial(_fail, count))
    return Result([*notes, Note(count)])


def _fail(count: str) -> Result:
    raise NothingImported(count)
