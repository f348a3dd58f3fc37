"""Applies the reports of monitors to nodes: discovered, disappeared, or moved to another address."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from clusterm.common import service_log
from clusterm.common.addresses import Place
from clusterm.enums import Cause, EventName, State
from clusterm.errors import BadRequest, Conflict, RequestRefused, quote
from clusterm.nodes import changes as node_changes
from clusterm.nodes import lifecycle
from clusterm.notifications.events import record_node_events
from clusterm.problem_codes import ProblemCode
from clusterm.schemas import MonitoredNode, MonitorEvent, RejectedNode
from clusterm.store import events, nodes, tables
from clusterm.store.engine import Store
from clusterm.store.session import Session

if TYPE_CHECKING:
    from clusterm.settings import Settings

log = logging.getLogger(__name__)

_EVENTS: Final = (EventName.DISCOVERED, EventName.DISAPPEARED)


@dataclass(frozen=True)
class NodeReport:
    """The report of a monitor that a node was discovered, with its data, or has disappeared, if `node` is None."""

    name: str
    node: MonitoredNode | None


@dataclass(frozen=True)
class ProbeResult:
    """The result of probing a node at its place: the reason in `missed`, or None if the node was reached."""

    name: str
    place: Place
    missed: str | None


def report(store: Store, settings: Settings, monitor_event: MonitorEvent) -> tuple[list[str], list[RejectedNode]]:
    """Apply a report about nodes. A rejected node does not affect the other ones. What changes nothing is no event.

    Args:
        store: the store.
        settings: the current settings.
        monitor_event: the report.

    Returns:
        The names of the nodes, and the rejected nodes.

    Raises:
        BadRequest: the report contains no nodes, or an unknown event.
        NotFound: all nodes were rejected, the first one because it is unknown and has disappeared.
        Conflict: all nodes were rejected, the first one because another reachable node has its address.
    """
    if monitor_event.name not in _EVENTS:
        raise BadRequest(
            f"{quote(monitor_event.name)} is no event of monitoring: use {' or '.join(_EVENTS)}",
            ProblemCode.INVALID_MONITOR_EVENT,
            event=quote(monitor_event.name),
        )
    if not monitor_event.nodes:
        raise BadRequest("give at least one node", ProblemCode.NO_NODES)
    discovered = monitor_event.name == EventName.DISCOVERED
    reports = [NodeReport(node.name, node if discovered else None) for node in monitor_event.nodes]
    rejected = report_each(store, settings, reports)
    if len(rejected) == len(reports):
        _, reason = rejected[0]
        others = len(rejected) - 1 + len(monitor_event.invalid)
        raise reason.extended(f" (and {others} more nodes were rejected)") if others else reason
    not_stored = [RejectedNode(node=each.name, reason=str(reason)) for each, reason in rejected]
    not_stored += monitor_event.invalid
    if not_stored:
        first = not_stored[0]
        log.warning("%d reported nodes were rejected, first %s: %s", len(not_stored), quote(first.node), first.reason)
    skipped = {id(each) for each, _ in rejected}
    return list(dict.fromkeys(each.name for each in reports if id(each) not in skipped)), not_stored


def report_each(
    store: Store, settings: Settings, reports: Sequence[NodeReport]
) -> list[tuple[NodeReport, RequestRefused]]:
    """Apply the reports of a monitor, in their order, in one transaction.

    Returns:
        The rejected reports, each with the reason. They do not affect the other ones.
    """
    rejected = []
    with _report_batch(store, settings, reports) as batch:
        for each in reports:
            try:
                batch.apply(each)
            except RequestRefused as reason:
                rejected.append((each, reason))
    return rejected


def report_probe_results(store: Store, settings: Settings, results: Sequence[ProbeResult]) -> None:
    """Update the states of nodes from the results of probing them.

    A result does not count if the node was removed or is elsewhere by now. A node is not discovered at the place of
    another reachable node, and a node in state `Unknown` does not disappear.
    """
    with _report_batch(store, settings, results) as batch:
        for each in results:
            batch.apply_probe_result(each)


@contextmanager
def _report_batch(
    store: Store, settings: Settings, concerning: Sequence[NodeReport | ProbeResult]
) -> Iterator[_ReportBatch]:
    """Open a transaction for reports. At its end, add their events; after the commit, log the events."""
    with store.write() as session:
        batch = _ReportBatch(session, settings, concerning)
        yield batch
        events.append(session, batch.events)
        record_node_events(session, batch.events)
    for event in batch.events:
        about = service_log.log_fields(node=event.node, event=event.event)
        log.info("%s %s %s", event.node, event.event, event.detail, extra=about)


class _ReportBatch:
    """Applies reports in one transaction. Reads all nodes that the reports concern at once."""

    def __init__(self, session: Session, settings: Settings, concerning: Sequence[NodeReport | ProbeResult]) -> None:
        self._session = session
        self._settings = settings
        self.events: list[tables.Event] = []
        """The events that the reports caused, in order."""
        self._nodes = {node.name: node for node in nodes.by_names(session, [each.name for each in concerning])}
        addresses = {node.address for node in self._nodes.values()}
        addresses |= {each.node.addr for each in concerning if isinstance(each, NodeReport) and each.node is not None}
        self._at: defaultdict[str, list[tables.Node]] = defaultdict(list)
        for node in nodes.at_addresses(session, addresses):
            self._at[node.address].append(node)

    def apply(self, report: NodeReport) -> None:
        """Change or create a node.

        Raises:
            RequestRefused: the report contradicts other data. It has changed nothing.
        """
        node = self._nodes.get(report.name)
        if report.node is not None:
            self._discover(node, report.node)
        elif node is None:
            raise nodes.not_found(report.name)
        elif node.state is not State.DISAPPEARED:
            self._set_state(node, State.DISAPPEARED, f"was at {node.place}")

    def apply_probe_result(self, result: ProbeResult) -> None:
        """Change the state of a node, if the result differs from it."""
        node = self._nodes.get(result.name)
        if node is None or node.place != result.place:
            return
        if result.missed is None:
            if node.state is not State.DISCOVERED and self._is_free(result.place, node.name):
                self._set_state(node, State.DISCOVERED, f"at {node.place}")
        elif node.state is State.DISCOVERED:
            self._set_state(node, State.DISAPPEARED, result.missed)

    def _discover(self, node: tables.Node | None, monitored: MonitoredNode) -> None:
        if monitored.name in self._settings.ansible.host_groups:
            raise BadRequest(
                f'a node cannot be called "{monitored.name}": that is a host group', ProblemCode.INVALID_NAME
            )
        place = node_changes.place_reported(node, monitored)
        if node is not None and node.place == place and node.state is State.DISCOVERED:
            return
        node_changes.check_place(place, monitored.name, self._at[place.address])
        if node is None:
            self._add(monitored)
        elif node.place == place:
            self._set_state(node, State.DISCOVERED, f"at {place}")
        else:
            before = node.place
            moved = node_changes.move(node, place, self._settings.cipher)
            self._at[before.address].remove(node)
            self._at[place.address].append(node)
            self._set_state(node, State.DISCOVERED, f"at {place}, was at {before}", moved)

    def _is_free(self, place: Place, name: str) -> bool:
        """Return whether no other reachable node is at a place."""
        try:
            node_changes.check_place(place, name, self._at[place.address])
        except Conflict:
            return False
        return True

    def _add(self, monitored: MonitoredNode) -> None:
        node = node_changes.new_node(monitored, lifecycle.first_group(self._settings.ansible.host_groups))
        self._session.add(node)
        self._nodes[node.name] = node
        self._at[node.address].append(node)
        self._add_event(
            node, f"at {node.place}", {"state": [node.prev_state, node.state], "address": [None, node.address]}
        )

    def _set_state(
        self, node: tables.Node, state: State, detail: str, other_changes: Mapping[str, Any] | None = None
    ) -> None:
        changes: dict[str, Any] = {}
        if node.state is not state:
            changes["state"] = [node.state, state]
            node.prev_state, node.state = node.state, state
        self._add_event(node, detail, changes | dict(other_changes or {}))

    def _add_event(self, node: tables.Node, detail: str, changes: dict[str, Any]) -> None:
        event = EventName.DISCOVERED if node.state is State.DISCOVERED else EventName.DISAPPEARED
        self.events.append(events.new(node.name, event, cause=Cause.MONITOR, changes=changes, detail=detail))
