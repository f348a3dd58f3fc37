"""View of a plan: what a request would do, and why it would be refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from clusterctl.api.models import Json, read
from clusterctl.output.output import View
from clusterctl.output.rows import Rows, clean
from clusterctl.views.cells import names
from clusterm import schemas

_NODE_COLUMNS: Final = ("NODE", "ADDRESS", "HOST GROUP", "STATUS", "STATE", "BATCH")
_SIZES: Final = 20
"""Sizes of batches to print."""

_REFUSED: Final = 20
"""Nodes that are named for each objection."""


def plan(data: Json) -> View:
    """Return steps, nodes, vars and inventory, and the objections at the end, where they are visible."""
    shown = read(schemas.Plan, data)
    batches = shown.batches
    heading = {
        "Action": f"{shown.action}{' (check)' if shown.check else ''}",
        "Nodes": str(len(shown.nodes)),
        "Host group": shown.host_group,
        "Batches": _batches(shown) if len(batches) > 1 else "",
        "Failures": f"it stops when more than {shown.max_failures} nodes have failed" if shown.max_failures else "",
        "Waits for": shown.waits_for or "",
    }
    yield from (f"{name:<12}{clean(value)}\n" for name, value in heading.items() if value)
    yield "\n"
    steps = [(step.name, step.playbook, step.condition or "always", step.error or "") for step in shown.steps]
    yield _rows(("STEP", "PLAYBOOK", "RUNS", "CANNOT RUN"), steps)
    if shown.nodes:
        yield "\n"
        yield _rows(_NODE_COLUMNS, list(_nodes(shown)))
    yield from _values("Extra vars", shown.extra_vars)
    yield from _values("Inventory", shown.inventory)
    if shown.objections:
        yield "\n"
        refused = [(names(objection.nodes, _REFUSED), objection.reason) for objection in shown.objections]
        yield _rows(("REFUSED FOR", "REASON"), refused)


def _batches(shown: schemas.Plan) -> str:
    sizes = list(map(len, shown.batches))
    if sizes[0] == max(sizes) == sizes[-2]:
        return f"{len(sizes)}, of up to {sizes[0]} nodes"
    more = f", and {len(sizes) - _SIZES} more" if len(sizes) > _SIZES else ""
    return f"{len(sizes)}, of {', '.join(map(str, sizes[:_SIZES]))}{more} nodes"


def _nodes(shown: schemas.Plan) -> Iterator[Sequence[str]]:
    batch_of = {name: number for number, names in enumerate(shown.batches, start=1) for name in names}
    for node in shown.nodes:
        inventory = node.inventory_state
        yield (
            inventory.name,
            node.monitoring_state.management_address,
            node.configuration_state.host_group,
            inventory.status,
            inventory.state,
            str(batch_of[inventory.name]),
        )


def _values(title: str, values: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n{title}:\n"
    yield json.dumps(values, indent=2) + "\n"


def _rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Rows:
    """Return a table without empty columns."""
    kept = [number for number in range(len(columns)) if any(row[number] for row in rows)]
    return Rows([columns[number] for number in kept], ([row[number] for number in kept] for row in rows))
