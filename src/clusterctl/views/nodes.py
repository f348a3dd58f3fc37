"""Views of nodes and their host keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from clusterctl.api.models import Json, read
from clusterctl.output.output import View
from clusterctl.output.rows import Rows
from clusterctl.views.cells import STYLES, block, cell, if_rows, new_table, plain_value, time
from clusterctl.views.events import node_event_table
from clusterm import schemas
from clusterm.common.addresses import Place


def nodes(data: Json) -> View:
    """Return one row per node. Nodes are not parsed as models, because 10,000 of them would take too long."""
    try:
        rows = [_node_row(node) for node in data.values()]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        for node in data.values():
            read(schemas.Node, node)  # raises an error that names the member
        raise
    if rows:
        yield Rows(("NAME", "ADDRESS", "HOST GROUP", "STATUS", "STATE", "LAST EVENT"), rows, STYLES)


def node(data: Json) -> View:
    """Return a node and its latest events."""
    shown = read(schemas.Node, data)
    inventory, configuration = shown.inventory_state, shown.configuration_state
    yield block(
        {
            "Node": inventory.name,
            "Address": str(Place(configuration.ssh_address, configuration.ssh_port)),
            "Host group": configuration.host_group,
            "Status": inventory.status,
            "State": inventory.state,
            "Host vars": ", ".join(f"{k}={plain_value(v)}" for k, v in configuration.inventory_vars.items()),
            "Host key": ", ".join(map(str, configuration.host_keys)),
        }
    )
    if shown.events:
        yield "\n"
        yield node_event_table(shown.events)


def host_keys(data: Json) -> View:
    """Return the known and the forgotten host keys of a node."""
    answer = read(schemas.KnownHostKeys, data)
    yield block(
        {
            "Node": answer.name,
            "Host key": ", ".join(map(str, answer.host_keys)),
            "Forgotten": ", ".join(map(str, answer.forgotten)),
        }
    )


def imported(data: Json) -> View:
    """Return one row per host of an inventory."""
    answer = read(schemas.ImportAnswer, data)
    done = "would be imported" if answer.dry_run else "imported"
    table = new_table("HOST", "NODE", "ADDRESS", "HOST GROUP", "RESULT", "REASON")
    for outcome in answer.nodes:
        result = done if outcome.imported else "exists" if outcome.exists else "skipped"
        without = f"without {', '.join(outcome.left_out)}" if outcome.left_out else None
        table.add_row(
            cell(outcome.host),
            cell(outcome.node),
            cell(outcome.address),
            cell(outcome.host_group),
            cell(result),
            cell(outcome.reason or without),
        )
    yield from if_rows(table)


def _node_row(node: Json) -> Sequence[str]:
    inventory, configuration = node["inventory_state"], node["configuration_state"]
    return (
        inventory["name"],
        str(Place(configuration["ssh_address"], configuration.get("ssh_port"))),
        configuration["host_group"],
        inventory["status"],
        inventory["state"],
        _last_event(node["events"][-1]) if node["events"] else "",
    )


def _last_event(event: Json) -> str:
    result = f"; result: {event['result']}" if event["result"] else ""
    return f"{time(datetime.fromisoformat(event['at']))} {event['event']}{result}"
