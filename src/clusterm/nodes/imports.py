"""Imports the hosts of an inventory as nodes, in one transaction."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from clusterm.common.addresses import PORT_VAR, Place, parse_place, ssh_port
from clusterm.common.node_names import fit_part, serial_from_place
from clusterm.enums import EventName, HostGroups
from clusterm.errors import BadRequest, Conflict, RequestRefused, quote
from clusterm.nodes import lifecycle
from clusterm.nodes.changes import (
    address_conflict,
    check_free_name,
    first_changes,
    new_node,
    user_event,
)
from clusterm.problem_codes import ProblemCode
from clusterm.schemas import (
    ImportAnswer,
    ImportedNode,
    ImportOutcome,
    ImportRequest,
    MonitoredNode,
    check_host_vars,
    host_var_problems,
)
from clusterm.schemas.request_vars import refusals
from clusterm.secrets.encryption import VariableCipher
from clusterm.store import events, nodes, tables
from clusterm.store.engine import Store

_TEMPLATES: Final = ("{{", "{%")


def import_nodes(
    store: Store,
    request: ImportRequest,
    by: str,
    groups: HostGroups,
    cipher: VariableCipher,
    allowed: Collection[str],
) -> ImportAnswer:
    """Import the nodes of an inventory.

    Nodes that cannot be imported are skipped, and variables that nodes cannot have are left out.

    Args:
        store: the store.
        request: the nodes, and the host groups of their groups.
        by: the requester.
        groups: the host groups of the site.
        cipher: encrypts the host vars.
        allowed: the variables that clients may set, `ansible.request_vars_allowed`.

    Returns:
        The outcome for each node, with the reason if it was skipped, and its variables that were left out.

    Raises:
        BadRequest: a group is mapped to a host group that does not exist.
    """
    for name in request.map.values():
        lifecycle.check_host_group(name, groups)
    with store.read() if request.dry_run else store.write() as session:
        every = nodes.list_all(session)
        existing = {node.name for node in every}
        places = {node.place: node.name for node in every}
        hosts: dict[str, str] = {}  # of this import, by the name of the node
        outcomes, happened = [], []
        for given in request.nodes:
            outcome = _outcome(given, allowed)
            outcomes.append(outcome)
            try:
                kept = {name: value for name, value in given.vars.items() if name not in outcome.left_out}
                monitored = _identify(given, kept)
                outcome.node, outcome.address = monitored.name, monitored.addr
                if monitored.name in hosts:
                    raise Conflict(
                        f"host {quote(hosts[monitored.name])} has the same node name: give one of them a label of its "
                        f"own, as --label {outcome.host}=LABEL",
                        ProblemCode.NODE_EXISTS,
                    )
                outcome.exists = monitored.name in existing
                check_free_name(monitored.name, existing, groups)
                outcome.host_group = _host_group(given.groups, request.map, groups)
                node = new_node(monitored, outcome.host_group)
                _set_vars(node, node.inventory_vars | kept, given.secret_vars, cipher)
                if node.place.port is not None and node.place in places:
                    raise address_conflict([(places[node.place], node.place)])
            except (RequestRefused, ValueError) as reason:
                outcome.reason = str(reason)
                continue
            outcome.imported = True
            hosts[node.name] = outcome.host
            places[node.place] = node.name
            if not request.dry_run:
                session.add(node)
                detail = f"at {node.place}, imported"
                happened.append(user_event(node.name, EventName.DISCOVERED, by, first_changes(node), detail))
        events.append(session, happened)
    return ImportAnswer(dry_run=request.dry_run, nodes=outcomes)


def _outcome(given: ImportedNode, allowed: Collection[str]) -> ImportOutcome:
    """Return the outcome of a node that is not yet imported, with its name and address as they were given."""
    return ImportOutcome(
        host=given.host or given.label,
        node=f"{given.label}-{given.serial or given.addr}",
        address=given.addr,
        host_group=None,
        imported=False,
        reason=None,
        left_out=host_var_problems(given.vars) | refusals(given.vars, allowed),
    )


def _identify(given: ImportedNode, host_vars: Mapping[str, Any]) -> MonitoredNode:
    """Return the name and the place of a node.

    Raises:
        BadRequest: it cannot have them.
    """
    if any(mark in given.addr for mark in _TEMPLATES):
        raise BadRequest(
            f"its address {quote(given.addr)} is a template that cannot be evaluated without a playbook: give the host "
            "an ansible_host that depends on the inventory only",
            ProblemCode.INVALID_ADDRESS,
        )
    if not fit_part(given.label):
        host = given.host or given.label
        raise BadRequest(
            f"{quote(host)} has no letter or digit that a node name can have: give --label {host}=LABEL",
            ProblemCode.INVALID_NAME,
        )
    try:
        place = parse_place(given.addr)
        if PORT_VAR in host_vars:
            place = Place(place.address, ssh_port(host_vars))
        serial = given.serial or serial_from_place(place)
        return MonitoredNode(label=given.label, serial=serial, addr=place.address, port=place.port)
    except ValidationError as error:
        reasons = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())
        raise BadRequest(reasons, ProblemCode.INVALID_NAME) from None
    except ValueError as reason:
        raise BadRequest(f"addr: {reason}", ProblemCode.INVALID_ADDRESS) from None


def _set_vars(node: tables.Node, host_vars: dict[str, Any], secret_vars: Iterable[str], cipher: VariableCipher) -> None:
    """Set the host vars of a node.

    Raises:
        BadRequest: they are too large.
    """
    node.secret_vars = [name for name in dict.fromkeys(secret_vars) if name in host_vars and name != PORT_VAR]
    try:
        node.inventory_vars, node.encrypted = cipher.encrypt(check_host_vars(host_vars), node.secret_vars)
    except ValueError as reason:
        raise BadRequest(f"{reason}: import fewer with --without-vars GLOB", ProblemCode.INVALID_HOST_VARS) from None


def _host_group(given: Collection[str], mapping: Mapping[str, str], groups: HostGroups) -> str:
    """Return the host group for the inventory groups of a node.

    Raises:
        Conflict: they have the names of several host groups, and no mapping decides.
    """
    for name, host_group in mapping.items():
        if name in given:
            return host_group
    found = sorted(set(given).intersection(groups))
    if len(found) > 1:
        raise Conflict(
            f"it is in several host groups: {', '.join(found)}; "
            f"give the one that decides, as --map {found[0]}={found[0]}",
            ProblemCode.HOST_GROUP_AMBIGUOUS,
        )
    return found[0] if found else lifecycle.first_group(groups)
