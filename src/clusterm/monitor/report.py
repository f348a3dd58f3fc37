"""Taking in what monitoring says: nodes that appeared, disappeared or moved to another address."""

import logging
from datetime import UTC, datetime
from typing import Final

from sqlmodel import Session

from clusterm import journal
from clusterm.errors import BadRequest, Conflict, quote
from clusterm.schemas import MonitoredNode, MonitorEvent
from clusterm.settings import RetentionSettings
from clusterm.states import HOST_GROUPS, MASTER_GROUP, EventName, State, Status
from clusterm.store import events, nodes, tables
from clusterm.store.engine import Store

log = logging.getLogger(__name__)

_STATE_OF: Final = {EventName.DISCOVERED: State.DISCOVERED, EventName.DISAPPEARED: State.DISAPPEARED}


def report(store: Store, retention: RetentionSettings, news: MonitorEvent) -> list[str]:
    """Bring the nodes to what monitoring says of them, all or none. What is no news makes no event.

    Args:
        store: the store.
        retention: how many events to keep.
        news: what monitoring says.

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
        happened, details = [], {}
        for monitored in news.nodes:
            if name is EventName.DISCOVERED:
                detail = _discover(session, monitored)
            else:
                detail = _lose(nodes.get(session, monitored.name))
            if detail is not None:
                details[monitored.name] = detail
                happened.append(
                    tables.Event(
                        at=datetime.now(UTC),
                        node=monitored.name,
                        event=name,
                        result=None,
                        job_id=None,
                        detail=detail,
                    )
                )
        events.add(session, happened, timeline=retention.timeline, node_events=retention.node_events)
    for node, detail in details.items():
        log.info("%s %s %s", node, name, detail, extra=journal.members(node=node, event=name))
    return list(dict.fromkeys(monitored.name for monitored in news.nodes))


def _discover(session: Session, monitored: MonitoredNode) -> str | None:
    """Note that a node is there, and say what is new about that, None if nothing is."""
    _check_free(session, monitored)
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
                host_group=MASTER_GROUP,
            )
        )
        return f"at {monitored.addr}"
    moved = node.address != monitored.addr
    if not moved and node.state is State.DISCOVERED:
        return None
    detail = f"at {monitored.addr}" + (f", was at {node.address}" if moved else "")
    node.address = monitored.addr
    _set_state(node, State.DISCOVERED)
    return detail


def _lose(node: tables.Node) -> str | None:
    if node.state is State.DISAPPEARED:
        return None
    _set_state(node, State.DISAPPEARED)
    return f"was at {node.address}"


def _set_state(node: tables.Node, state: State) -> None:
    if node.state is not state:
        node.prev_state, node.state = node.state, state


def _check_free(session: Session, monitored: MonitoredNode) -> None:
    """Check that neither name nor address would mean two things."""
    if monitored.name in HOST_GROUPS:
        raise BadRequest(f'a node cannot be called "{monitored.name}": that is a host group')
    others = [node for node in nodes.at_addresses(session, [monitored.addr]) if node.name != monitored.name]
    if present := [f"{node.name}:{node.address}" for node in others if node.state is State.DISCOVERED]:
        raise Conflict(
            "one or more nodes already exist with the specified management addresses. "
            f"Existing nodes: [{' '.join(present)}]"
        )
