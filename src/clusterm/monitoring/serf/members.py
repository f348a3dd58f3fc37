"""Derives the state of nodes from the members of a Serf cluster. Uses neither connections nor the store.

A member represents the node that its tags NodeLabel, NodeSerial and NodeAddr name. Several members may represent one
node, for example after a machine was reinstalled under another name: the node is reachable while one of them is alive,
at the address of the member that has been alive for the longest time.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from pydantic import ValidationError

from clusterm.errors import quote
from clusterm.monitoring.reports import NodeReport
from clusterm.monitoring.serf.rpc import Message, SerfMember
from clusterm.schemas import MonitoredNode

_ALIVE_STATUSES: Final = frozenset({"alive", "leaving"})
_TAGS: Final = {"label": "NodeLabel", "serial": "NodeSerial", "addr": "NodeAddr"}


class Membership:
    """The present members, and the reported state of their nodes.

    Args:
        nodes: names of the nodes that were reachable when the members were last known.

    Attributes:
        complaints: problems of members, each one once; the caller logs and removes them.
    """

    def __init__(self, nodes: Iterable[str] = ()) -> None:
        self.complaints: list[str] = []
        self._before = set(nodes)
        self._reported: dict[str, MonitoredNode | None] = {}  # by node
        self._node_of: dict[str, str] = {}  # by member
        self._alive: defaultdict[str, dict[str, MonitoredNode]] = defaultdict(dict)  # by node, then by member
        self._complained: dict[str, str] = {}  # by member

    @property
    def nodes(self) -> set[str]:
        """The names of the nodes that are reachable, or were when the members were last known."""
        return {name for name, node in self._reported.items() if node is not None} | self._before

    def take(self, message: Message) -> list[NodeReport]:
        """Apply an event or a list of all members, and return the changes of nodes in order."""
        if message.event is not None:
            affected = [node for member in message.members for node in self._update(member, message.event)]
            return self._report(dict.fromkeys(affected))
        named = {member.name for member in message.members}
        for gone in self._node_of.keys() - named:
            self._forget(gone)
        for gone in self._complained.keys() - named:
            del self._complained[gone]
        affected = [node for member in message.members for node in self._update(member, None)]
        reports = self._report(dict.fromkeys([*affected, *self._reported, *sorted(self._before)]))
        self._before.clear()
        present = set(affected)
        self._reported = {name: node for name, node in self._reported.items() if node is not None or name in present}
        return sorted(reports, key=lambda each: each.node is not None)  # first the nodes that free their address

    def take_back(self, reports: NodeReport) -> None:
        """Report a change again with the next list of all members, because it was rejected."""
        self._reported.pop(reports.name, None)

    def _update(self, member: SerfMember, event: str | None) -> Iterator[str]:
        """Apply one member, and yield the affected nodes: two, if its tags name another node now."""
        if (before := self._node_of.get(member.name)) is not None:
            yield before
        node = None if event == "member-reap" else self._parse(member)
        if node is None or node.name != before:
            self._forget(member.name)
        if node is None:
            return
        self._node_of[member.name] = node.name
        if member.status in _ALIVE_STATUSES:
            others = self._alive[node.name]
            others[member.name] = node
            if (first := next(iter(others.values()))) != node:
                self._complain(member, f"is {node.name} at {node.addr}, but another member is that at {first.addr}")
        else:
            self._alive[node.name].pop(member.name, None)
        yield node.name

    def _report(self, nodes: Iterable[str]) -> list[NodeReport]:
        reports = []
        for name in nodes:
            node = next(iter(self._alive.get(name, {}).values()), None)
            if name not in self._reported or self._reported[name] != node:
                self._reported[name] = node
                reports.append(NodeReport(name, node))
        return reports

    def _forget(self, member: str) -> None:
        if (node := self._node_of.pop(member, None)) is not None:
            self._alive[node].pop(member, None)

    def _parse(self, member: SerfMember) -> MonitoredNode | None:
        """Return the node that a member represents, None if its tags name no node."""
        if missing := [tag for tag in _TAGS.values() if not member.tags.get(tag)]:
            self._complain(member, f"is no node: it has no tag {', '.join(missing)}")
            return None
        try:
            node = MonitoredNode.model_validate({field: member.tags[tag] for field, tag in _TAGS.items()})
        except ValidationError as error:
            reasons = "; ".join(f"{_TAGS[str(each['loc'][0])]}: {each['msg']}" for each in error.errors())
            self._complain(member, f"is no node: {reasons}")
            return None
        return node

    def _complain(self, member: SerfMember, what: str) -> None:
        if self._complained.get(member.name) != what:
            self._complained[member.name] = what
            self.complaints.append(f"{quote(member.name)} {what}")
