"""Taking in what monitoring says: nodes that appeared, disappeared or moved to another address."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from clusterm.common import service_log
from clusterm.enums import Cause, EventName, State
from clusterm.errors import BadRequest, NotFound, RequestRefused, quote
from clusterm.nodes import changes as node_changes
from clusterm.nodes import lifecycle
from clusterm.notifications.events import record_node_events
from clusterm.schemas import MonitoredNode, MonitorEvent
from clusterm.settings import Settings
from clusterm.store import events, nodes, tables
from clusterm.store.engine import Store
from clusterm.store.session import Session

log = logging.getLogger(__name__)

_EVENTS: Final = (EventName.DISCOVERED, EventName.DISAPPEARED)


@dataclass(frozen=True)
class NodeReport:
    """What a monitor says of a node: that it is there, and as what, or with no `node` that it is not."""

    name: str
    node: MonitoredNode | None


@dataclass(frozen=True)
class ProbeResult:
    """What came of looking at a node where it was thought to be; `missed` says why it was not found, if it was not."""

    name: str
    address: str
    missed: str | None


def report(store: Store, settings: Settings, news: MonitorEvent) -> list[str]:
    """Bring the nodes to what monitoring says of them, all or none. What is no news makes no event.

    Args:
        store: the store.
        settings: the configuration as it is now.
        news: what monitoring says.

    Returns:
        The names of the nodes.

    Raises:
        BadRequest: it says nothing, or nothing that is known.
        NotFound: a node disappeared that was never there.
        Conflict: an address is another reachable node's.
    """
    if news.name not in _EVENTS:
        raise BadRequest(f"Invalid or empty event name specified: {quote(news.name)}. Events: {', '.join(_EVENTS)}")
    if not news.nodes:
        raise BadRequest("atleast one node should be specified")
    there = news.name == EventName.DISCOVERED
    each = [NodeReport(monitored.name, monitored if there else None) for monitored in news.nodes]
    with _take_reports(store, settings, each) as intake:
        for of_node in each:
            intake.take(of_node)
    return list(dict.fromkeys(of_node.name for of_node in each))


def report_each(
    store: Store, settings: Settings, news: Sequence[NodeReport]
) -> list[tuple[NodeReport, RequestRefused]]:
    """Bring the nodes to what a monitor says of them, in that order, in one transaction.

    Returns:
        The news that was refused, each with the reason; it keeps nothing else from being taken in.
    """
    refused = []
    with _take_reports(store, settings, news) as intake:
        for each in news:
            try:
                intake.take(each)
            except RequestRefused as reason:
                refused.append((each, reason))
    return refused


def report_probe_results(store: Store, settings: Settings, looks: Sequence[ProbeResult]) -> None:
    """Bring the state of nodes to what looking at them has shown.

    One that is gone or at another address by now is left alone, and so is one that nobody has heard of and that was
    not found, or whose address is another reachable node's.
    """
    with _take_reports(store, settings, looks) as intake:
        for look in looks:
            intake.take_look(look)


@contextmanager
def _take_reports(
    store: Store, settings: Settings, concerning: Sequence[NodeReport | ProbeResult]
) -> Iterator["_ReportBatch"]:
    """Open a transaction that takes in news and ends with their events; once it is committed, the journal has them."""
    with store.write() as session:
        intake = _ReportBatch(session, settings, concerning)
        yield intake
        retention = settings.retention
        events.add(session, intake.events, timeline=retention.timeline, node_events=retention.node_events)
        record_node_events(session, intake.events)
    for event in intake.events:
        about = service_log.log_fields(node=event.node, event=event.event)
        log.info("%s %s %s", event.node, event.event, event.detail, extra=about)


class _ReportBatch:
    """Takes in news in one transaction, with the nodes that they concern read at once."""

    def __init__(self, session: Session, settings: Settings, concerning: Sequence[NodeReport | ProbeResult]) -> None:
        self._session = session
        self._settings = settings
        self.events: list[tables.Event] = []
        """What happened."""
        self._nodes = {node.name: node for node in nodes.by_names(session, [each.name for each in concerning])}
        addresses = {node.address for node in self._nodes.values()}
        addresses |= {each.node.addr for each in concerning if isinstance(each, NodeReport) and each.node is not None}
        self._at: defaultdict[str, list[tables.Node]] = defaultdict(list)
        for node in nodes.at_addresses(session, addresses):
            self._at[node.address].append(node)

    def take(self, news: NodeReport) -> None:
        """Change a node, or make it, and note what happened to it.

        Raises:
            RequestRefused: that cannot be, and nothing has changed.
        """
        node = self._nodes.get(news.name)
        if news.node is not None:
            self._discover(node, news.node)
        elif node is None:
            raise NotFound(f"node with name or address {quote(news.name)} doesn't exists")
        elif node.state is not State.DISAPPEARED:
            self._set_state(node, State.DISAPPEARED, f"was at {node.address}")

    def take_look(self, look: ProbeResult) -> None:
        """Change the state of a node, where looking at it has shown something new."""
        node = self._nodes.get(look.name)
        if node is None or node.address != look.address:
            return
        if look.missed is None:
            if node.state is not State.DISCOVERED and not self._others_at(look.address, node.name):
                self._set_state(node, State.DISCOVERED, f"at {node.address}")
        elif node.state is State.DISCOVERED:
            self._set_state(node, State.DISAPPEARED, look.missed)

    def _discover(self, node: tables.Node | None, monitored: MonitoredNode) -> None:
        if monitored.name in self._settings.ansible.host_groups:
            raise BadRequest(f'a node cannot be called "{monitored.name}": that is a host group')
        if present := self._others_at(monitored.addr, monitored.name):
            raise node_changes.address_conflict((other.name, other.address) for other in present)
        if node is None:
            self._add(monitored)
        elif node.address != monitored.addr:
            detail = f"at {monitored.addr}, was at {node.address}"
            moved = {"address": [node.address, monitored.addr]}
            self._at[node.address].remove(node)
            self._at[monitored.addr].append(node)
            node.address = monitored.addr
            self._set_state(node, State.DISCOVERED, detail, moved)
        elif node.state is not State.DISCOVERED:
            self._set_state(node, State.DISCOVERED, f"at {monitored.addr}")

    def _others_at(self, address: str, name: str) -> list[tables.Node]:
        """Return the other nodes that are there now at an address."""
        return [node for node in self._at[address] if node.state is State.DISCOVERED and node.name != name]

    def _add(self, monitored: MonitoredNode) -> None:
        node = node_changes.new_node(monitored, lifecycle.first_group(self._settings.ansible.host_groups))
        self._session.add(node)
        self._nodes[node.name] = node
        self._at[node.address].append(node)
        self._note(
            node, f"at {node.address}", {"state": [node.prev_state, node.state], "address": [None, node.address]}
        )

    def _set_state(
        self, node: tables.Node, state: State, detail: str, other_changes: Mapping[str, Any] | None = None
    ) -> None:
        changes: dict[str, Any] = {}
        if node.state is not state:
            changes["state"] = [node.state, state]
            node.prev_state, node.state = node.state, state
        self._note(node, detail, changes | dict(other_changes or {}))

    def _note(self, node: tables.Node, detail: str, changes: dict[str, Any]) -> None:
        event = EventName.DISCOVERED if node.state is State.DISCOVERED else EventName.DISAPPEARED
        self.events.append(events.new(node.name, event, cause=Cause.MONITOR, changes=changes, detail=detail))
