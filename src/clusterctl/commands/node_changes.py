"""`clusterctl node set`, `rename`, `remove`, `trust`, `forget-key`, `import`: changes of nodes without a job."""

from typing import Annotated

import typer

from clusterctl import tables
from clusterctl.client import read
from clusterctl.errors import Usage
from clusterctl.inventory import read_inventory
from clusterctl.options import AsJson, HostGroup, NodeName
from clusterctl.session import session_of
from clusterctl.show import Document, Result, note
from clusterctl.values import parse_host_vars, parse_keys
from clusterm.node_requests import ImportAnswer


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
    client = session_of(ctx, as_json=as_json).client
    host_vars = parse_host_vars(settings or [])
    if not host_vars and not host_group:
        raise Usage(f"nothing to set: say KEY=VALUE or --host-group; see what is set with: clusterctl node get {name}")
    yield Document(client.set_node(name, host_group=host_group or "", host_vars=host_vars), tables.node)


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
    yield Document(session_of(ctx, as_json=as_json).client.rename_node(name, new), tables.node)


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
    yield Document(session_of(ctx, as_json=as_json).client.remove_node(name, force=force), tables.node)


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
    client = session_of(ctx, as_json=as_json).client
    yield Document(client.set_host_keys(name, parse_keys(keys)), tables.host_keys)


def forget_key(ctx: typer.Context, name: NodeName, *, as_json: AsJson = False) -> Result:
    """Forget the ssh host keys of a node, as after it was installed anew.

    The key that it has the next time a job goes there is trusted then, unless `ansible.host_key_checking` is strict.
    """
    answer = session_of(ctx, as_json=as_json).client.set_host_keys(name, [])
    yield Document(answer, tables.host_keys)
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
    client = session_of(ctx, as_json=as_json).client
    means = {}
    for text in groups or []:
        group, equals, host_group = text.partition("=")
        if not group or not equals or not host_group:
            raise Usage(f"--map: {text!r} is not GROUP=HOST_GROUP")
        means[group] = host_group
    nodes = read_inventory(inventory)
    answer = client.import_nodes(nodes, means, dry_run=dry_run)
    yield Document(answer, tables.imported, items=lambda data: data["nodes"])
    outcomes = read(ImportAnswer, answer).nodes
    done = sum(outcome.imported for outcome in outcomes)
    what = "would be imported" if dry_run else "imported"
    note(f"{done} of {len(outcomes)} hosts {what}" if outcomes else f"{inventory} names no hosts")
