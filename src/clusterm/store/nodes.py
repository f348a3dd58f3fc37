"""Nodes: queries, changes, and their two forms on the wire, as a model and as JSON."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from sqlalchemy import Enum, String, func, outerjoin, type_coerce, update
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from clusterm import schemas
from clusterm.common import ssh_keys
from clusterm.common.addresses import PORT_VAR, SSH_PORT, Place, parse_place, ssh_port
from clusterm.enums import State, Status
from clusterm.errors import Conflict, NotFound, quote
from clusterm.problem_codes import ProblemCode
from clusterm.secrets.encryption import EncryptedVars, VariableCipher
from clusterm.store import tables


class PlacedNode(Protocol):
    """What distinguishes the nodes of one address."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def state(self) -> State:
        """Its state."""

    @property
    def place(self) -> Place:
        """Where it is reached."""


N = TypeVar("N", bound=PlacedNode)


class Candidate(NamedTuple):
    """The facts about a node that selections and rules need."""

    name: str
    address: str
    status: Status
    state: State
    host_group: str
    port: int | None = SSH_PORT

    @property
    def place(self) -> Place:
        """Where it is reached; without a port if only ansible can tell the port."""
        return Place(self.address, self.port)

    def contains(self, text: str) -> bool:
        """Return whether a text is part of its name, address or host group, in upper or lower case."""
        text = text.casefold()
        return any(text in part.casefold() for part in (self.name, self.address, self.host_group))


_MAX_PARAMETERS: Final = 1000
"""Values in one query; SQLite limits the parameters of a statement."""

_NODE_COLUMNS: Final = (
    "name", "label", "serial", "address", "status", "prev_status", "state", "prev_state", "host_group",
    "inventory_vars", "secret_vars", "host_keys",
)  # fmt: skip
_EVENT_COLUMNS: Final = (
    "id", "at", "event", "kind", "result", "job_id", "detail", "cause", "by", "changes", "times", "since", "action",
)  # fmt: skip


class Whereabouts(NamedTuple):
    """The address of a node, and the variables with which ansible connects to it."""

    name: str
    address: str
    state: State
    inventory_vars: dict[str, Any]

    @property
    def place(self) -> Place:
        """Where it is reached; without a port if only ansible can tell the port."""
        return Place(self.address, ssh_port(self.inventory_vars))


def list_all(session: Session) -> Sequence[tables.Node]:
    """Return all nodes, by name."""
    return session.exec(select(tables.Node).order_by(col(tables.Node.name))).all()


def candidates(session: Session) -> list[Candidate]:
    """Return the candidates for selections: all nodes, by name."""
    node = tables.Node
    columns = (col(node.name), col(node.address), col(node.status), col(node.state), col(node.host_group))
    port = col(node.inventory_vars)[PORT_VAR].as_string()
    rows = session.connection().execute(sql_select(*columns, port).order_by(col(node.name)))
    return [
        Candidate._make((*facts, SSH_PORT if port is None else ssh_port({PORT_VAR: port}))) for *facts, port in rows
    ]


def get(session: Session, name: str) -> tables.Node:
    """Return the node with a name or, if there is none, at a management address, which a port may follow.

    Raises:
        NotFound: no node has the name or the address.
        Conflict: several nodes have the address.
    """
    node = find(session, name) or at_place(name, lambda address: at_addresses(session, [address]))
    if node is None:
        raise not_found(name)
    return node


def not_found(name: str) -> NotFound:
    """Return the error for a name or address that no node has."""
    return NotFound(f"no node has the name or address {quote(name)}", ProblemCode.NODE_NOT_FOUND, name=quote(name))


def find(session: Session, name: str) -> tables.Node | None:
    """Return the node with a name, None if there is none."""
    return session.get(tables.Node, name)


def at_place(text: str, at_address: Callable[[str], Sequence[N]]) -> N | None:
    """Return the node at an address, which a port may follow, or None: the reachable one of all that have had it.

    Args:
        text: the address in any spelling.
        at_address: returns the nodes at an address in its canonical form.

    Raises:
        Conflict: several nodes are there.
    """
    found = _at_place(text, at_address)
    if len(found) > 1:
        listed = ", ".join(f"{node.name} ({node.place})" for node in found)
        raise Conflict(
            f"several nodes have the address {quote(text)}: {listed}. Give the name of one of them",
            ProblemCode.ADDRESS_AMBIGUOUS,
        )
    return found[0] if found else None


def spellings(session: Session, text: str) -> set[str]:
    """Return the names under which a node, or an address of a discover job, is in the rows of jobs.

    Args:
        session: any transaction.
        text: the name of the node, or an address in any spelling.
    """
    found = {text}
    if find(session, text) is None:
        found |= {node.name for node in _at_place(text, lambda address: at_addresses(session, [address]))}
        with contextlib.suppress(ValueError):
            found.add(parse_place(text).address)
    return found


def by_names(session: Session, names: Iterable[str | None]) -> list[tables.Node]:
    """Return the nodes with these names, by name, without names that do not exist."""
    return _where(session, "name", {name for name in names if name is not None})


def at_addresses(session: Session, addresses: Iterable[str]) -> list[tables.Node]:
    """Return the nodes with these management addresses, by name."""
    return _where(session, "address", set(addresses))


def rename(session: Session, old: str, new: str, *, label: str, serial: str) -> None:
    """Rename a node, also in its events, and in jobs and their failures.

    Args:
        session: a writing transaction.
        old: the name that the node has.
        new: the new name, which no node has.
        label: the label in the new name.
        serial: the serial number in the new name.
    """
    node = tables.Node
    values = {"name": new, "label": label, "serial": serial}
    session.execute(update(node).where(col(node.name) == old).values(values))
    for table in (tables.Event, tables.JobNode, tables.JobFailure):
        session.execute(update(table).where(col(table.node) == old).values(node=new))


def count(session: Session) -> dict[tuple[Status, State], int]:
    """Return the number of nodes, by status and state."""
    query = select(tables.Node.status, tables.Node.state, func.count())
    rows = session.exec(query.group_by(tables.Node.status, tables.Node.state)).all()
    return {(Status(status), State(state)): number for status, state, number in rows}


def whereabouts(session: Session) -> list[Whereabouts]:
    """Return the whereabouts of all nodes."""
    node = tables.Node
    columns = (col(node.name), col(node.address), col(node.state), col(node.inventory_vars))
    return [Whereabouts(*row) for row in session.connection().execute(sql_select(*columns))]


def decrypt_vars(node: tables.Node, cipher: VariableCipher) -> dict[str, Any]:
    """Return the host vars of a node with their secrets.

    Raises:
        SecretsUnavailable: the host vars cannot be decrypted.
    """
    return cipher.decrypt(EncryptedVars(node.inventory_vars, node.encrypted), f"node {node.name}")


def to_wire(
    node: tables.Node, events: list[schemas.Event], inventory_vars: dict[str, Any] | None = None
) -> schemas.Node:
    """Return a node as it goes over the wire.

    Args:
        node: the row.
        events: the latest events of the node.
        inventory_vars: its host vars with their secrets; None for the stored ones, with masked secrets.
    """
    columns = {name: getattr(node, name) for name in _NODE_COLUMNS}
    if inventory_vars is not None:
        columns["inventory_vars"] = inventory_vars
    wire = _to_json(**columns)
    configuration = wire["configuration_state"]
    keys = [schemas.HostKey.model_construct(**key) for key in configuration.pop("host_keys")]
    return schemas.Node.model_construct(
        monitoring_state=schemas.MonitoringState.model_construct(**wire["monitoring_state"]),
        inventory_state=schemas.InventoryState.model_construct(**wire["inventory_state"]),
        configuration_state=schemas.ConfigurationState.model_construct(**configuration, host_keys=keys),
        events=events,
    )


def listed(
    session: Session, names: Collection[str] | None = None, *, with_events: bool = True
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the names and JSON objects of nodes, by name, each with its latest event.

    The objects are created from rows, one at a time. For ten thousand nodes, models would take most of a second, and so
    many objects at once would keep the garbage collector busy.

    Args:
        session: any transaction.
        names: only nodes with these names; None for all.
        with_events: whether to read the latest events; otherwise there are none.
    """
    node, event = tables.Node, tables.Event
    query = sql_select(*_columns(node, _NODE_COLUMNS)).order_by(col(node.name))
    if with_events:
        newest = sql_select(func.max(event.id)).where(col(event.node) == col(node.name)).correlate(node)
        query = query.add_columns(*_columns(event, _EVENT_COLUMNS)).select_from(
            outerjoin(node, event, col(event.id) == newest.scalar_subquery())
        )
    if names is not None and len(names) <= _MAX_PARAMETERS:
        query = query.where(col(node.name).in_(names))
    wanted = None if names is None else set(names)
    for row in session.connection().execute(query):
        if wanted is None or row[0] in wanted:
            event_columns = row[len(_NODE_COLUMNS) :]
            has_event = with_events and event_columns[0] is not None
            events = [_event_to_json(row[0], event_columns)] if has_event else []
            yield row[0], {**_to_json(*row[: len(_NODE_COLUMNS)]), "events": events}


def _at_place(text: str, at_address: Callable[[str], Sequence[N]]) -> list[N]:
    """Return the nodes at an address, only the reachable ones if there are such."""
    try:
        address, port = parse_place(text)
    except ValueError:
        address, port = text, None  # an address that an older version has accepted
    found = [node for node in at_address(address) if port is None or node.place.port == port]
    return [node for node in found if node.state is State.DISCOVERED] or found


def _columns(table: type[tables.SQLModel], names: Iterable[str]) -> list[Any]:
    """Return columns of a table, enumerations as the stored text."""
    columns = [getattr(table, name) for name in names]
    return [type_coerce(column, String) if isinstance(column.type, Enum) else column for column in columns]


def _to_json(
    name: str,
    label: str,
    serial: str,
    address: str,
    status: str,
    prev_status: str,
    state: str,
    prev_state: str,
    host_group: str,
    inventory_vars: dict[str, Any],
    secret_vars: list[str],
    host_keys: list[str],
) -> dict[str, Any]:
    """Return a node as the members of its JSON object, without events. The arguments are `_NODE_COLUMNS`."""
    return {
        "monitoring_state": {"label": label, "serial_number": serial, "management_address": address},
        "inventory_state": {
            "name": name,
            "status": status,
            "prev_status": prev_status,
            "state": state,
            "prev_state": prev_state,
        },
        "configuration_state": {
            "inventory_name": name,
            "host_group": host_group,
            "ssh_address": address,
            "ssh_port": ssh_port(inventory_vars),
            "inventory_vars": {"node_name": name, "node_addr": address, **inventory_vars},
            "secret_vars": secret_vars,
            "host_keys": [{"type": ssh_keys.kind(key), "fingerprint": ssh_keys.fingerprint(key)} for key in host_keys],
        },
    }


def _event_to_json(node: str, columns: Sequence[Any]) -> dict[str, Any]:
    """Return an event as its JSON object, from the values of `_EVENT_COLUMNS`."""
    event_id, at, event, kind, result, job_id, detail, cause, by, changes, times, since, action = columns
    return {
        "id": event_id,
        "at": schemas.format_time(at),
        "node": node,
        "event": event,
        "kind": kind,
        "result": result,
        "job": job_id,
        "detail": detail,
        "cause": cause,
        "by": by,
        "changes": changes,
        "times": times,
        "since": since and schemas.format_time(since),
        "action": action,
    }


def _where(session: Session, field: str, values: set[str]) -> list[tables.Node]:
    """Return the nodes with one of these values in a field."""
    column = col(getattr(tables.Node, field))
    found: list[tables.Node] = []
    ordered = sorted(values)
    for start in range(0, len(ordered), _MAX_PARAMETERS):
        found.extend(session.exec(select(tables.Node).where(column.in_(ordered[start : start + _MAX_PARAMETERS]))))
    return sorted(found, key=lambda node: node.name)
