"""Changes of nodes that users request, in one transaction each: host group, host vars, name and removal."""

from collections.abc import Collection, Container, Iterable
from typing import Any, Final

from clusterm import schemas
from clusterm.common.addresses import PORT_VAR, SSH_PORT, Place
from clusterm.common.redaction import holds_mask
from clusterm.enums import Cause, EventName, HostGroups, State, Status
from clusterm.errors import BadRequest, Conflict, SecretsUnavailable
from clusterm.nodes import lifecycle
from clusterm.problem_codes import ProblemCode
from clusterm.schemas import RenameRequest, SetRequest, check_host_vars, check_name
from clusterm.schemas.request_vars import check_request_vars
from clusterm.secrets.encryption import EncryptedVars, VariableCipher
from clusterm.store import events, nodes, tables
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.session import Session

_AT_REST: Final = frozenset({Status.UNALLOCATED, Status.DECOMMISSIONED})
"""Statuses of nodes that are not part of the cluster."""

Changes = dict[str, list[Any]]
"""The changed members of a node, each with its old and its new value."""


def change(
    store: Store,
    name: str,
    request: SetRequest,
    by: str,
    groups: HostGroups,
    cipher: VariableCipher,
    allowed: Collection[str],
) -> str:
    """Set the host group and host vars of a node. A request that changes nothing creates no event.

    Args:
        store: the store.
        name: the name or address of the node.
        request: the new values.
        by: the requester.
        groups: the host groups of the site.
        cipher: encrypts the host vars.
        allowed: the variables that clients may set, `ansible.request_vars_allowed`.

    Returns:
        The name of the node.

    Raises:
        RequestRefused: there is no such node, or it cannot have these values.
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
        given = cipher.restore(request.vars, EncryptedVars(before, node.encrypted), f"node {node.name}")
        new = {key: value for key, value in given.items() if value is not None and present.get(key) != value}
        check_request_vars(new, allowed, f"node {node.name}")
        wanted = {**present, **given}
        wanted = {key: value for key, value in wanted.items() if value is not None}
        secret_vars = [key for key in node.secret_vars if key in wanted]
        try:
            after, encrypted = cipher.encrypt(check_host_vars(wanted), secret_vars)
        except ValueError as error:
            raise BadRequest(str(error), ProblemCode.INVALID_HOST_VARS) from None
        if wanted != present:
            place = node.place
            node.inventory_vars, node.encrypted, node.secret_vars = after, encrypted, secret_vars
            if node.place != place and node.state is State.DISCOVERED:
                check_place(node.place, node.name, nodes.at_addresses(session, [node.address]))
        for key in {**present, **wanted}:
            if present.get(key) != wanted.get(key):
                changes[f"vars.{key}"] = [before.get(key), after.get(key)]
        if changes:
            detail = events.describe_changes(changes)
            events.append(session, [user_event(node.name, EventName.CHANGED, by, changes, detail)])
        return node.name


def rename(store: Store, name: str, request: RenameRequest, by: str, groups: HostGroups) -> str:
    """Rename a node, also in its events and in the jobs that it was in.

    Args:
        store: the store.
        name: the present name, or the address.
        request: the new name.
        by: the requester.
        groups: the host groups of the site.

    Returns:
        The new name.

    Raises:
        RequestRefused: there is no such node, it is in a job, or the new name is taken or not valid.
    """
    with store.write() as session:
        node = nodes.get(session, name)
        old, new = node.name, request.name
        if new == old:
            return old
        label = new.removesuffix(f"-{node.serial}") if new.endswith(f"-{node.serial}") else new.rpartition("-")[0]
        serial = new.removeprefix(f"{label}-")
        try:
            check_name(label)
            check_name(serial)
        except ValueError as error:
            raise BadRequest(str(error), ProblemCode.INVALID_NAME) from None
        check_free_name(new, {node.name for node in nodes.list_all(session)}, groups)
        _check_idle(session, old)
        nodes.rename(session, old, new, label=label, serial=serial)
        events.append(session, [user_event(new, EventName.RENAMED, by, {"name": [old, new]}, f"was {old}")])
        return new


def remove(store: Store, name: str, by: str, *, force: bool) -> schemas.Node:
    """Remove a node, and keep its events.

    Args:
        store: the store.
        name: the name or address of the node.
        by: the requester.
        force: whether the node may be part of the cluster.

    Returns:
        The node before its removal.

    Raises:
        RequestRefused: there is no such node, it is in a job, or it is part of the cluster.
    """
    with store.write() as session:
        node = nodes.get(session, name)
        _check_idle(session, node.name)
        if node.status not in _AT_REST and not force:
            raise Conflict(
                f"node {node.name} is {node.status}: decommission it first, or force its removal, "
                "which does not change the machine",
                ProblemCode.NODE_IN_CLUSTER,
            )
        changes: Changes = {"status": [node.status, None], "address": [node.address, None]}
        gone = nodes.to_wire(node, [])
        events.append(session, [user_event(node.name, EventName.REMOVED, by, changes, f"was at {node.address}")])
        session.delete(node)
        return gone


def register(session: Session, monitored: schemas.MonitoredNode, groups: HostGroups) -> Changes:
    """Register a machine that a discover job has prepared, as a new node or as a known one.

    Returns:
        The changes of the node.

    Raises:
        RequestRefused: another node has the name or the place.
    """
    node = nodes.find(session, monitored.name)
    place = place_reported(node, monitored)
    check_place(place, monitored.name, nodes.at_addresses(session, [monitored.addr]))
    if node is None:
        check_free_name(monitored.name, (), groups)
        node = new_node(monitored, lifecycle.first_group(groups))
        session.add(node)
        session.flush()
        return first_changes(node)
    changes: Changes = {}
    if node.place != place:
        if node.state is State.DISCOVERED:
            raise Conflict(
                f"node {node.name} exists already, at {node.place}: two machines call themselves so. "
                f"Add this one by another name: clusterctl node add LABEL --addr {place}",
                ProblemCode.NODE_EXISTS,
            )
        changes |= move(node, place)
    if node.state is not State.DISCOVERED:
        changes["state"] = [node.state, State.DISCOVERED]
        node.prev_state, node.state = node.state, State.DISCOVERED
    return changes


def new_node(monitored: schemas.MonitoredNode, host_group: str) -> tables.Node:
    """Return the row of a new node."""
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
        inventory_vars={} if monitored.port in {None, SSH_PORT} else {PORT_VAR: monitored.port},
        secret_vars=[],
        host_keys=[],
    )


def place_reported(node: tables.Node | None, monitored: schemas.MonitoredNode) -> Place:
    """Return the place that a report gives a node. Without a port, a known node keeps its port."""
    known = SSH_PORT if node is None else node.place.port
    return Place(monitored.addr, monitored.port or known)


def check_place(place: Place, name: str, at_address: Iterable[tables.Node]) -> None:
    """Check that no other reachable node is where a node is to be.

    Args:
        place: address and port.
        name: the name of the node.
        at_address: the nodes at that address.

    Raises:
        Conflict: another node is there.
    """
    others = [node for node in at_address if node.name != name and node.state is State.DISCOVERED]
    if present := [node for node in others if place.port is not None and node.place == place]:
        raise address_conflict((node.name, node.place) for node in present)


def move(node: tables.Node, place: Place, cipher: VariableCipher | None = None) -> Changes:
    """Set the address and the ssh port of a node, and return the changes.

    Args:
        node: the node.
        place: where it is; without a port to keep the port.
        cipher: encrypts the host vars; None where secrets are not available.

    Raises:
        Conflict: the port is in the host vars, which are encrypted. Nothing has changed.
    """
    changes: Changes = {}
    if place.port not in {None, node.place.port}:
        changes[f"vars.{PORT_VAR}"] = [node.inventory_vars.get(PORT_VAR), place.port]
        if node.encrypted is None:
            node.inventory_vars = {**node.inventory_vars, PORT_VAR: place.port}
        elif cipher is None:
            raise Conflict(
                f"the host vars of {node.name} are encrypted: set its port by "
                f"`clusterctl node set {node.name} {PORT_VAR}={place.port}`",
                ProblemCode.HOST_VARS_ENCRYPTED,
            )
        else:
            host_vars = {**nodes.decrypt_vars(node, cipher), PORT_VAR: place.port}
            node.inventory_vars, node.encrypted = cipher.encrypt(host_vars, node.secret_vars)
    if node.address != place.address:
        changes["address"] = [node.address, place.address]
        node.address = place.address
    return changes


def address_conflict(existing: Iterable[tuple[str, Place]]) -> Conflict:
    """Return the error for places that nodes have already, given as pairs of a node's name and its place."""
    pairs = list(existing)
    return Conflict(
        f"other nodes have these addresses: {', '.join(f'{name} ({place})' for name, place in pairs)}",
        ProblemCode.ADDRESS_IN_USE,
        nodes=" ".join(f"{name}:{place}" for name, place in pairs),
    )


def _decrypt_vars(node: tables.Node, replaced: Container[str], cipher: VariableCipher) -> dict[str, Any]:
    """Return the host vars of a node with their secrets. Secrets that are replaced need not be readable."""
    try:
        return nodes.decrypt_vars(node, cipher)
    except SecretsUnavailable:
        if holds_mask([value for name, value in node.inventory_vars.items() if name not in replaced]):
            raise
        return dict(node.inventory_vars)


def first_changes(node: tables.Node) -> Changes:
    """Return the changes in the first event of a new node."""
    changes: Changes = {
        "state": [State.UNKNOWN, State.DISCOVERED],
        "address": [None, node.address],
        "host_group": [None, node.host_group],
    }
    return changes | {f"vars.{key}": [None, value] for key, value in node.inventory_vars.items()}


def _check_group(node: tables.Node, host_group: str, groups: HostGroups) -> None:
    lifecycle.check_host_group(host_group, groups)
    if node.status not in _AT_REST:
        raise Conflict(
            f"node {node.name} is {node.status}: only an update changes the host group of a node that is part of the "
            f"cluster. Run: clusterctl node update {node.name} --host-group {host_group}",
            ProblemCode.NODE_IN_CLUSTER,
        )


def check_free_name(name: str, names: Container[str], groups: HostGroups) -> None:
    """Check that a new node can have a name.

    Args:
        name: the name.
        names: the names of all nodes.
        groups: the host groups of the site.

    Raises:
        RequestRefused: a node or a host group has the name.
    """
    if name in groups:
        raise BadRequest(f'a node cannot be called "{name}": that is a host group', ProblemCode.INVALID_NAME)
    if name in names:
        raise Conflict(f"node {name} exists already", ProblemCode.NODE_EXISTS)


def _check_idle(session: Session, name: str) -> None:
    """Check that the node is in no queued or running job."""
    if job := job_queries.unended_on(session, name):
        raise Conflict(
            f"node {name} is in job {job.id}, which is {job.status}: wait for its end, or cancel it",
            ProblemCode.NODE_IN_JOB,
        )


def user_event(node: str, event: EventName, by: str, changes: Changes, detail: str) -> tables.Event:
    """Return an event about a change that a user has requested."""
    return events.new(node, event, cause=Cause.USER, by=by, changes=changes, detail=detail)
