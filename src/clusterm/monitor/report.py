"""Taking in what monitoring says: nodes that appeared, disappeared or moved to another address."""

from datetime import UTC, datetime
from typing import Any, Final

from sqlmodel import Session

from clusterm import lifecycle
from clusterm.errors import BadRequest, Conflict, quote
from clusterm.schemas import MonitoredNode, MonitorEvent
from clusterm.settings import RetentionSettings
from clusterm.states import DEFAULT_HOST_GROUPS, Cause, EventName, HostGroups, State, Status
from clusterm.store import events, nodes, tables
from clusterm.store.engine import Store

_STATE_OF: Final = {EventName.DISCOVERED: State.DISCOVERED, EventName.DISAPPEARED: State.DISAPPEARED}


def report(
    store: Store, retention: RetentionSettings, news: MonitorEvent, groups: HostGroups = DEFAULT_HOST_GROUPS
) -> list[str]:
    """Bring the nodes to what monitoring says of them, all or none. What is no news makes no event.

    Args:
        store: the store.
        retention: how many events to keep.
        news: what monitoring says.
        groups: the site's host groups.

    Returns:
        The names of the nodes.

    Raises:
        BadRequest: it says nothing, or nothing that is known.
        NotFound: a node disappeared that was never there.
        Conflict: an address is another reachable node's.
    """
    if news.name not in set(_STATE_OF):
        raise BadRequest(f"Invalid or empty event name specified: {quote(news.name)}. Events: {', '.join(_STATE_OF)}")
    if not news.nodes:
        raise BadRequest("atleast one node should be specified")
    name = EventName(news.name)
    with store.write() as session:
        happened = []
        for monitored in news.nodes:
            if name is EventName.DISCOVERED:
                detail, changes = _discover(session, monitored, groups)
            else:
                detail, changes = _lose(nodes.get(session, monitored.name))
            if changes:
                happened.append(
                    tables.Event(
                        at=datetime.now(UTC),
                        node=monitored.name,
                        event=name,
                        result=None,
                        job_id=None,
                        detail=detail,
                        cause=Cause.MONITOR,
                        changes=changes,
                    )
                )
        events.add(session, happened, timeline=retention.timeline, node_events=retention.node_events)
    return list(dict.fromkeys(monitored.name for monitored in news.nodes))


def _discover(session: Session, monitored: MonitoredNode, groups: HostGroups) -> tuple[str, dict[str, Any]]:
    """Note that a node is there, and return in words and by members what is new about that."""
    _check_free(session, monitored, groups)
    node = session.get(tables.Node, monitored.name)
    if node is None:
        session.add(
            tables.Node(
                name=monitored.name,
                label=monitored.label,
                serial=monitored.serial,
                address=monitored.addr,
                status=Status.UNALLOCATED,
                prev_status=Status.UNALLOCATED,
                state=State.DISCOVERED,
                prev_state=State.UNKNOWN,
                host_group=lifecycle.first_group(groups),
            )
        )
        return f"at {monitored.addr}", {"state": [State.UNKNOWN, State.DISCOVERED], "address": [None, monitored.addr]}
    detail, changes = f"at {monitored.addr}", _set_state(node, State.DISCOVERED)
    if node.address != monitored.addr:
        detail += f", was at {node.address}"
        changes["address"] = [node.address, monitored.addr]
        node.address = monitored.addr
    return detail, changes


def _lose(node: tables.Node) -> tuple[str, dict[str, Any]]:
    return f"was at {node.address}", _set_state(node, State.DISAPPEARED)


def _set_state(node: tables.Node, state: State) -> dict[str, Any]:
    if node.state is state:
        return {}
    node.prev_state, node.state = node.state, state
    return {"state": [node.prev_state, state]}


def _check_free(session: Session, monitored: MonitoredNode, groups: HostGroups) -> None:
    """Check that neither name nor address would mean two things."""
    if monitored.name in groups:
        raise BadRequest(f'a node cannot be called "{monitored.name}": that is a host group')
    others = [node for node in nodes.at_addresses(session, [monitored.addr]) if node.name != monitored.name]
    if present := [f"{node.name}:{node.address}" for node in others if node.state is State.DISCOVERED]:
        raise Conflict(
            "one or more nodes already exist with the specified management addresses. "
            f"Existing nodes: [{' '.join(present)}]"
        )
