"""The trusted host keys of nodes, which jobs learn and users set or remove.

Host keys belong to nodes, not to addresses. A node that is moved or renamed keeps its keys; removing a node removes
them. The keys that a discover job has seen at an address and port are stored for this place until there is a node.
"""

import ipaddress
import logging
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from clusterm.common.addresses import Place, parse_place, ssh_port
from clusterm.enums import Cause, EventName
from clusterm.errors import NotFound
from clusterm.schemas import HostKey, KnownHostKeys
from clusterm.store import events, nodes, runtime_values, tables
from clusterm.store.engine import Store
from clusterm.store.session import Session

log = logging.getLogger(__name__)


def known(session: Session, targets: Iterable[str], extra_vars: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the trusted keys of the nodes or addresses of a job, without nodes and addresses that have none.

    Args:
        session: any transaction.
        targets: the nodes or addresses.
        extra_vars: those of the job, which may set the port of addresses.
    """
    at_places = runtime_values.get(session, runtime_values.HOST_KEYS)
    found = {target: at_places.get(_place(target, extra_vars)) for target in targets}
    for node in nodes.by_names(session, found):
        found[node.name] = node.host_keys or at_places.get(str(node.place))
    return {target: keys for target, keys in found.items() if keys}


def learn(
    session: Session, job: tables.Job, learned: Mapping[str, Sequence[str]], targets: Mapping[str, str | None]
) -> None:
    """Store the keys that a job has learned, with an event for each node or address. Existing keys are kept.

    Args:
        session: a writing transaction.
        job: the job.
        learned: the keys that were trusted at first use, by node or address.
        targets: the nodes and addresses of the job, each with the name of the node; None if an address has no node.
    """
    at_places = runtime_values.get(session, runtime_values.HOST_KEYS)
    before = dict(at_places)
    by_name = {node.name: node for node in nodes.by_names(session, targets.values())}
    happened = []
    for target, name in targets.items():
        fresh = list(learned.get(target, ()))
        if name is None:
            place = _place(target, job.extra_vars)
            if not fresh or place in at_places:
                continue
            at_places[place] = fresh
        elif node := by_name.get(name):
            fresh = [*at_places.pop(str(node.place), ()), *fresh]
            if not fresh or node.host_keys:
                continue
            node.host_keys = fresh
        happened.append(_event(target, name, [], fresh, job=job))
    if at_places != before:
        runtime_values.put(session, runtime_values.HOST_KEYS, at_places)
    events.append(session, happened)


def replace(store: Store, name: str, keys: Sequence[str], by: str) -> KnownHostKeys:
    """Set or remove the trusted keys of a node.

    Args:
        store: the store.
        name: the name or address of the node; also an address without a node, which a port may follow.
        keys: the keys, as `ssh_keys.parse` returns them; empty to remove the existing ones.
        by: the requester.

    Returns:
        The present and the removed keys.

    Raises:
        NotFound: there is no such node, and the name is not an IP address.
        Conflict: several nodes have the address.
    """
    with store.write() as session:
        at_places = runtime_values.get(session, runtime_values.HOST_KEYS)
        node: tables.Node | None = None
        try:
            node = nodes.get(session, name)
            place = str(node.place)
        except NotFound:
            place = _place(name)
            if place not in at_places and not (keys and _is_ip_address(name)):
                raise
        at_place = at_places.pop(place, [])
        before = (node.host_keys if node else None) or at_place
        after = list(dict.fromkeys(keys))
        name = node.name if node else place
        if node:
            node.host_keys = after
        elif after:
            at_places[place] = after
        runtime_values.put(session, runtime_values.HOST_KEYS, at_places)
        if before != after:
            events.append(session, [_event(name, node.name if node else None, before, after, by=by)])
    log.info("the host keys of %s were set by %s: %s", name, by, _in_words(after) or "none is known any more")
    return KnownHostKeys(
        name=name,
        host_keys=[HostKey.of(key) for key in after],
        forgotten=[HostKey.of(key) for key in before if key not in after],
    )


def _event(
    target: str,
    node: str | None,
    before: Sequence[str],
    after: Sequence[str],
    *,
    job: tables.Job | None = None,
    by: str | None = None,
) -> tables.Event:
    detail = f"{_in_words(after)}{' at first use' if job else ''}" if after else f"was {_in_words(before)}"
    return events.new(
        node,
        EventName.KEY_TRUSTED if after else EventName.KEY_FORGOTTEN,
        cause=Cause.JOB if job else Cause.USER,
        changes={"host_keys": [_in_words(before) or None, _in_words(after) or None]},
        detail=detail if node else f"{target}: {detail}",
        job_id=job.id if job else None,
        by=job.requested_by if job else by,
    )


def _in_words(keys: Sequence[str]) -> str:
    return ", ".join(str(HostKey.of(key)) for key in keys)


def _place(text: str, extra_vars: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Return the key under which the host keys of an address are stored."""
    try:
        place = parse_place(text)
    except ValueError:
        return text  # the name of a node
    return str(place if place.port else Place(place.address, ssh_port(extra_vars)))


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(parse_place(text).address)
    except ValueError:
        return False
    return True
