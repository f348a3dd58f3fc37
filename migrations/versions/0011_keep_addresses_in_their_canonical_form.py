"""keep addresses in their canonical form.

Revision: 0011
Follows: 0010
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from clusterm.common.addresses import canonical_address, ssh_port

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

log = logging.getLogger("clusterm.migrations")

_NODES = sa.table(
    "nodes",
    *(sa.column(name, sa.String()) for name in ("name", "address", "state")),
    sa.column("inventory_vars", sa.JSON()),
)
_SETTINGS = sa.table("settings", sa.column("name", sa.String()), sa.column("value", sa.JSON()))
_EVENTS = sa.table(
    "events",
    *(sa.column(name, sa.String()) for name in ("node", "event", "detail")),
    sa.column("at", sa.DateTime()),
    sa.column("changes", sa.JSON()),
)


def upgrade() -> None:
    # The running version compares addresses in this form, so the present function is the right one at any time.
    connection = op.get_bind()
    nodes = connection.execute(sa.select(_NODES).order_by(_NODES.c.name)).all()
    for node in nodes:
        if (form := _canonical(node.address)) != node.address:
            connection.execute(sa.update(_NODES).where(_NODES.c.name == node.name).values(address=form))
    _tell_of_shared_places(connection, nodes)
    _merge_host_keys(connection)


def _tell_of_shared_places(connection: sa.Connection, nodes: Sequence[sa.Row[Any]]) -> None:
    """Record an event for each reachable node that is where another one is, under another spelling until now.

    Which of them the machine is cannot be known, so each keeps its name, status, state and history. Its user decides.
    """
    at_place = defaultdict(list)
    for node in nodes:
        port = ssh_port(node.inventory_vars)
        if node.state == "Discovered" and port is not None:
            at_place[_canonical(node.address), port].append(node)
    for (address, _), sharing in at_place.items():
        if len({node.address for node in sharing}) == 1:
            continue
        names = ", ".join(node.name for node in sharing)
        log.warning(
            "%s have the same address, %s. Keep one of them: clusterctl node remove",
            names,
            address,
        )
        for node in sharing:
            others = ", ".join(other.name for other in sharing if other is not node)
            connection.execute(
                sa.insert(_EVENTS).values(
                    at=datetime.now(UTC).replace(tzinfo=None),
                    node=node.name,
                    event="changed",
                    detail=f"{address} is also the address of {others}. Keep one of them: clusterctl node remove",
                    changes={"address": [node.address, address]},
                )
            )


def _merge_host_keys(connection: sa.Connection) -> None:
    """Keep the host keys of addresses without a node under the form of the address, all of them trusted."""
    row = connection.execute(sa.select(_SETTINGS.c.value).where(_SETTINGS.c.name == "host_keys")).first()
    if row is None:
        return
    merged: defaultdict[str, list[str]] = defaultdict(list)
    for address, keys in row.value.items():
        merged[_canonical(address)] += [key for key in keys if key not in merged[_canonical(address)]]
    connection.execute(sa.update(_SETTINGS).where(_SETTINGS.c.name == "host_keys").values(value=dict(merged)))


def _canonical(address: str) -> str:
    """Return an address in its canonical form; one that is not accepted any more unchanged."""
    try:
        return canonical_address(address)
    except ValueError:
        return address
