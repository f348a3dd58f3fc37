"""Nodes."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy
from sqlmodel import Session, col, select

from clusterm import schemas
from clusterm.errors import NotFound, quote
from clusterm.redaction import redact
from clusterm.states import State, Status
from clusterm.store import tables

_MANY: Final = 1000


class Whereabouts(NamedTuple):
    """Where a node is, and how ansible gets there."""

    name: str
    address: str
    state: State
    inventory_vars: dict[str, Any]


def every(session: Session) -> Sequence[tables.Node]:
    """Return all nodes, by name."""
    return session.exec(select(tables.Node).order_by(col(tables.Node.name))).all()


def get(session: Session, name: str) -> tables.Node:
    """Return the node with a name or, if there is none, with a management address.

    Raises:
        NotFound: there is neither.
    """
    node = session.get(tables.Node, name)
    if node is None:
        # Of several that have been there, the one that is there now.
        there = (col(tables.Node.state) == State.DISCOVERED).desc()
        at_address = select(tables.Node).where(tables.Node.address == name).order_by(there, col(tables.Node.name))
        node = session.exec(at_address.limit(1)).first()
    if node is None:
        raise NotFound(f"node with name or address {quote(name)} doesn't exists")
    return node


def named(session: Session, names: Iterable[str | None]) -> list[tables.Node]:
    """Return the nodes with these names, by name; those that do not exist are left out."""
    return _where(session, "name", {name for name in names if name is not None})


def at_addresses(session: Session, addresses: Iterable[str]) -> list[tables.Node]:
    """Return the nodes with these management addresses, by name."""
    return _where(session, "address", set(addresses))


def count(session: Session) -> dict[tuple[Status, State], int]:
    """Return how many nodes there are of each status and state."""
    query = select(tables.Node.status, tables.Node.state, sqlalchemy.func.count())
    rows = session.exec(query.group_by(tables.Node.status, tables.Node.state)).all()
    return {(Status(status), State(state)): number for status, state, number in rows}


def whereabouts(session: Session) -> list[Whereabouts]:
    """Return where all nodes are."""
    node = tables.Node
    columns = (col(node.name), col(node.address), col(node.state), col(node.inventory_vars))
    return [Whereabouts(*row) for row in session.connection().execute(sqlalchemy.select(*columns))]


def to_wire(node: tables.Node, events: list[schemas.Event], *, redacted: bool = True) -> schemas.Node:
    """Turn a row into what goes over the wire, with its secrets masked, or into what ansible is told."""
    inventory_vars = redact(node.inventory_vars) if redacted else node.inventory_vars
    return schemas.Node.model_construct(
        monitoring_state=schemas.MonitoringState.model_construct(
            label=node.label, serial_number=node.serial, management_address=node.address
        ),
        inventory_state=schemas.InventoryState.model_construct(
            name=node.name,
            status=node.status,
            prev_status=node.prev_status,
            state=node.state,
            prev_state=node.prev_state,
        ),
        configuration_state=schemas.ConfigurationState.model_construct(
            inventory_name=node.name,
            host_group=node.host_group,
            ssh_address=node.address,
            inventory_vars={"node_name": node.name, "node_addr": node.address, **inventory_vars},
            host_keys=[schemas.HostKey.of(key) for key in node.host_keys],
        ),
        events=events,
    )


def _where(session: Session, field: str, values: set[str]) -> list[tables.Node]:
    """Return the nodes with one of these values. SQLite takes only so many values; past some, filtering is as fast."""
    if len(values) > _MANY:
        return [node for node in every(session) if getattr(node, field) in values]
    column = col(getattr(tables.Node, field))
    return list(session.exec(select(tables.Node).where(column.in_(values)).order_by(col(tables.Node.name))))
