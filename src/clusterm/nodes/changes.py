"""What people change about nodes, in one transaction each: host group, host vars, name, and whether there is one."""

from collections.abc import Container, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import update
from sqlmodel import Session, col, select

from clusterm import schemas
from clusterm.common.redaction import holds_mask
from clusterm.enums import ENDED, Cause, EventName, HostGroups, State, Status
from clusterm.errors import BadRequest, Conflict, RequestRefused, SecretsUnavailable
from clusterm.nodes import lifecycle
from clusterm.schemas import ImportAnswer, ImportOutcome, ImportRequest, RenameRequest, SetRequest, check_host_vars
from clusterm.secrets.encryption import EncryptedVars, VariableCipher
from clusterm.settings import RetentionSettings
from clusterm.store import events, nodes, tables
from clusterm.store.engine import Store

_AT_REST: Final = frozenset({Status.UNALLOCATED, Status.DECOMMISSIONED})
"""Statuses of nodes that are no part of the cluster."""

Changes = dict[str, list[Any]]
"""What an event changed in its node, each member from and to."""


def change(
    store: Store,
    retention: RetentionSettings,
    name: str,
    request: SetRequest,
    by: str,
    groups: HostGroups,
    cipher: VariableCipher,
) -> str:
    """Set a node's host group and host vars, and return its name. What is as it was makes no event.

    Raises:
        RequestRefused: there is no such node, or it cannot have that.
    """
    with store.write() as session:
        node = nodes.get(session, name)
        changes: Changes = {}
        if request.host_group and request.host_group != node.host_group:
            _check_group(node, request.host_group, groups)
            changes["host_group"] = [node.host_group, request.host_group]
            node.host_group = request.host_group
        before = node.inventory_vars
        present = _decrypt_vars(node, request.vars, cipher)
        wanted = {**present, **cipher.restore(request.vars, EncryptedVars(before, node.encrypted), f"node {node.name}")}
        wanted = {key: value for key, value in wanted.items() if value is not None}
        try:
            after, encrypted = cipher.encrypt(check_host_vars(wanted))
        except ValueError as error:
            raise BadRequest(str(error)) from None
        if wanted != present:
            node.inventory_vars, node.encrypted = after, encrypted
        for key in {**present, **wanted}:
            if present.get(key) != wanted.get(key):
                changes[f"vars.{key}"] = [before.get(key), after.get(key)]
        if changes:
            _note(session, retention, [_event(node.name, EventName.CHANGED, by, changes, _in_words(changes))])
        return node.name


def rename(
    store: Store, retention: RetentionSettings, name: str, request: RenameRequest, by: str, groups: HostGroups
) -> str:
    """Call a node something else, and return what; its events, and the jobs it was in, go with it.

    Raises:
        RequestRefused: there is no such node, it is in a job, or the name is taken or none.
    """
    with store.write() as session:
        node = nodes.get(session, name)
        old, new = node.name, request.name
        if new == old:
            return old
        label = new.removesuffix(f"-{node.serial}") if new.endswith(f"-{node.serial}") else new.rpartition("-")[0]
        monitored = _parse(label, new.removeprefix(f"{label}-"), node.address)
        _check_free_name(new, {node.name for node in nodes.list_all(session)}, groups)
        _check_idle(session, old)
        values = {"name": new, "label": monitored.label, "serial": monitored.serial}
        session.execute(update(tables.Node).where(col(tables.Node.name) == old).values(values))
        for table in (tables.Event, tables.JobNode):
            session.execute(update(table).where(col(table.node) == old).values(node=new))
        _note(session, retention, [_event(new, EventName.RENAMED, by, {"name": [old, new]}, f"was {old}")])
        return new


def remove(store: Store, retention: RetentionSettings, name: str, by: str, *, force: bool) -> schemas.Node:
    """Forget a node, but not what happened to it, and return it as it was.

    Raises:
        RequestRefused: there is no such node, it is in a job, or part of the cluster.
    """
    with store.write() as session:
        node = nodes.get(session, name)
        _check_idle(session, node.name)
        if node.status not in _AT_REST and not force:
            raise Conflict(
                f"node {node.name} is {node.status}: decommission it first, or force its removal, "
                "which leaves everything on the machine as it is"
            )
        changes: Changes = {"status": [node.status, None], "address": [node.address, None]}
        gone = nodes.to_wire(node, [])
        _note(session, retention, [_event(node.name, EventName.REMOVED, by, changes, f"was at {node.address}")])
        session.delete(node)
        return gone


def import_nodes(
    store: Store,
    retention: RetentionSettings,
    request: ImportRequest,
    by: str,
    groups: HostGroups,
    cipher: VariableCipher,
) -> ImportAnswer:
    """Make the nodes of an inventory known, each for itself: what cannot be is skipped, and said why.

    Raises:
        BadRequest: a group is to mean a host group that does not exist.
    """
    for name in request.map.values():
        lifecycle.check_host_group(name, groups)
    with store.read() if request.dry_run else store.write() as session:
        every = nodes.list_all(session)
        names, addresses = {node.name for node in every}, {node.address: node.name for node in every}
        outcomes, happened = [], []
        for given in request.nodes:
            serial = given.serial or given.addr.replace(":", "-").strip("-.")
            outcome = ImportOutcome(
                node=f"{given.label}-{serial}", address=given.addr, host_group=None, imported=False, reason=None
            )
            outcomes.append(outcome)
            try:
                outcome.host_group = _host_group(given.groups, request.map, groups)
                node = new_node(_parse(given.label, serial, given.addr), outcome.host_group)
                node.inventory_vars, node.encrypted = cipher.encrypt(check_host_vars(given.vars))
                _check_free(node, names, addresses, groups)
            except (RequestRefused, ValueError) as reason:
                outcome.reason = str(reason)
                continue
            outcome.imported = True
            names.add(node.name)
            addresses[node.address] = node.name
            if not request.dry_run:
                session.add(node)
                changes = _beginning(node)
                happened.append(_event(node.name, EventName.DISCOVERED, by, changes, f"at {node.address}, imported"))
        if happened:
            _note(session, retention, happened)
    return ImportAnswer(dry_run=request.dry_run, nodes=outcomes)


def register(session: Session, monitored: schemas.MonitoredNode, groups: HostGroups) -> Changes:
    """Make a machine known that a discover job has prepared, and return what that changes.

    Raises:
        RequestRefused: another one has its name or address.
    """
    others = [node for node in nodes.at_addresses(session, [monitored.addr]) if node.name != monitored.name]
    _check_address(monitored.addr, [node.name for node in others if node.state is State.DISCOVERED])
    node = session.get(tables.Node, monitored.name)
    if node is None:
        _check_free_name(monitored.name, (), groups)
        node = new_node(monitored, lifecycle.first_group(groups))
        session.add(node)
        session.flush()
        return _beginning(node)
    changes: Changes = {}
    if node.address != monitored.addr:
        if node.state is State.DISCOVERED:
            raise Conflict(
                f"node {node.name} exists already, at {node.address}: two machines call themselves so. "
                f"Add this one by another name: clusterctl node add LABEL --addr {monitored.addr}"
            )
        changes["address"] = [node.address, monitored.addr]
        node.address = monitored.addr
    if node.state is not State.DISCOVERED:
        changes["state"] = [node.state, State.DISCOVERED]
        node.prev_state, node.state = node.state, State.DISCOVERED
    return changes


def new_node(monitored: schemas.MonitoredNode, host_group: str) -> tables.Node:
    """Return the row of a node that is there for the first time."""
    return tables.Node(
        name=monitored.name,
        label=monitored.label,
        serial=monitored.serial,
        address=monitored.addr,
        status=Status.UNALLOCATED,
        prev_status=Status.UNALLOCATED,
        state=State.DISCOVERED,
        prev_state=State.UNKNOWN,
        host_group=host_group,
        inventory_vars={},  # named, because SQLModel takes long to call a default factory
        host_keys=[],
    )


def _decrypt_vars(node: tables.Node, replaced: Container[str], cipher: VariableCipher) -> dict[str, Any]:
    """Return a node's host vars as they were given; of one that is replaced it does not matter if it is lost."""
    try:
        return nodes.decrypt_vars(node, cipher)
    except SecretsUnavailable:
        if holds_mask([value for name, value in node.inventory_vars.items() if name not in replaced]):
            raise
        return dict(node.inventory_vars)


def _parse(label: str, serial: str, addr: str) -> schemas.MonitoredNode:
    try:
        return schemas.MonitoredNode(label=label, serial=serial, addr=addr)
    except ValidationError as error:
        raise BadRequest("; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())) from None


def _beginning(node: tables.Node) -> Changes:
    """Return what a new node's first event changes."""
    changes: Changes = {
        "state": [State.UNKNOWN, State.DISCOVERED],
        "address": [None, node.address],
        "host_group": [None, node.host_group],
    }
    return changes | {f"vars.{key}": [None, value] for key, value in node.inventory_vars.items()}


def _host_group(of_node: Iterable[str], means: dict[str, str], groups: HostGroups) -> str:
    found = {means.get(name, name) for name in of_node if means.get(name, name) in groups}
    if len(found) > 1:
        raise Conflict(f"it is in several host groups: {', '.join(sorted(found))}")
    return found.pop() if found else lifecycle.first_group(groups)


def _check_group(node: tables.Node, host_group: str, groups: HostGroups) -> None:
    lifecycle.check_host_group(host_group, groups)
    if node.status not in _AT_REST:
        raise Conflict(
            f"node {node.name} is {node.status}: only an update changes the host group of a node that is part of the "
            f"cluster. Run: clusterctl node update {node.name} --host-group {host_group}"
        )


def _check_free(node: tables.Node, names: Container[str], addresses: Mapping[str, str], groups: HostGroups) -> None:
    """Check that neither name nor address of a new node would mean two things."""
    _check_free_name(node.name, names, groups)
    _check_address(node.address, [addresses[node.address]] if node.address in addresses else [])


def _check_address(address: str, nodes_there: Iterable[str]) -> None:
    if listed := " ".join(f"{name}:{address}" for name in nodes_there):
        raise Conflict(
            f"one or more nodes already exist with the specified management addresses. Existing nodes: [{listed}]"
        )


def _check_free_name(name: str, names: Container[str], groups: HostGroups) -> None:
    if name in groups:
        raise BadRequest(f'a node cannot be called "{name}": that is a host group')
    if name in names:
        raise Conflict(f"node {name} exists already")


def _check_idle(session: Session, name: str) -> None:
    """Check that no job that runs or waits has the node."""
    of_node = select(tables.JobNode.job_id).where(tables.JobNode.node == name)
    query = select(tables.Job).where(col(tables.Job.id).in_(of_node), col(tables.Job.status).not_in(ENDED))
    if job := session.exec(query.limit(1)).first():
        raise Conflict(f"node {name} is in job {job.id}, which is {job.status}: wait for its end, or cancel it")


def _event(node: str, event: EventName, by: str, changes: Changes, detail: str) -> tables.Event:
    return tables.Event(
        at=datetime.now(UTC),
        node=node,
        event=event,
        result=None,
        job_id=None,
        detail=detail,
        cause=Cause.USER,
        by=by,
        changes=changes,
    )


def _note(session: Session, retention: RetentionSettings, happened: list[tables.Event]) -> None:
    events.add(session, happened, timeline=retention.timeline, node_events=retention.node_events)


def _in_words(changes: Changes) -> str:
    def write(value: Any) -> str:
        return "none" if value is None else str(value)

    return ", ".join(
        f"{name.removeprefix('vars.')} {write(before)} → {write(after)}" for name, (before, after) in changes.items()
    )
