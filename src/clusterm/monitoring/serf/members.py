"""What the members of a Serf cluster mean for nodes, without any connection or store.

A member stands for the node that its tags NodeLabel, NodeSerial and NodeAddr name. Several members may stand for one,
as when a machine was installed anew under another name: the node is there as long as one of them is, and it is where
the one says that has been there for longest.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from pydantic import ValidationError

from clusterm.errors import quote
from clusterm.monitoring.reports import NodeReport
from clusterm.monitoring.serf.rpc import Message, SerfMember
from clusterm.schemas import MonitoredNode

_THERE: Final = frozenset({"alive", "leaving"})
_TAGS: Final = {"label": "NodeLabel", "serial": "NodeSerial", "addr": "NodeAddr"}


class Membership:
    """The members as they are now, and what was told of the nodes that they stand for.

    Args:
        nodes: names of nodes that were there when members were last known.

    Attributes:
        complaints: what was wrong with members, each thing once; take them out when they are told.
    """

    def __init__(self, nodes: Iterable[str] = ()) -> None:
        self.complaints: list[str] = []
        self._before = set(nodes)
        self._told: dict[str, MonitoredNode | None] = {}  # by node
        self._node_of: dict[str, str] = {}  # by member
        self._there: defaultdict[str, dict[str, MonitoredNode]] = defaultdict(dict)  # by node, then by member
        self._complained: dict[str, str] = {}  # by member

    @property
    def nodes(self) -> set[str]:
        """The names of the nodes that are there, or were so when members were last known."""
        return {name for name, node in self._told.items() if node is not None} | self._before

    def take(self, message: Message) -> list[NodeReport]:
        """Take in what happened, or all members as they are, and return what is new of nodes, in that order."""
        if message.event is not None:
            affected = [node for member in message.members for node in self._update(member, message.event)]
            return self._tell(dict.fromkeys(affected))
        named = {member.name for member in message.members}
        for gone in self._node_of.keys() - named:
            self._forget(gone)
        for gone in self._complained.keys() - named:
            del self._complained[gone]
        affected = [node for member in message.members for node in self._update(member, None)]
        news = self._tell(dict.fromkeys([*affected, *self._told, *sorted(self._before)]))
        self._before.clear()
        present = set(affected)
        self._told = {name: node for name, node in self._told.items() if node is not None or name in present}
        return sorted(news, key=lambda each: each.node is not None)  # who is gone first: another may have its address

    def take_back(self, news: NodeReport) -> None:
        """Tell this again when all members come next: it was refused."""
        self._told.pop(news.name, None)

    def _update(self, member: SerfMember, event: str | None) -> Iterator[str]:
        """Take in one member, and yield the nodes that this is about: two, if its tags name another one now."""
        if (before := self._node_of.get(member.name)) is not None:
            yield before
        node = None if event == "member-reap" else self._parse(member)
        if node is None or node.name != before:
            self._forget(member.name)
        if node is None:
            return
        self._node_of[member.name] = node.name
        if member.status in _THERE:
            others = self._there[node.name]
            others[member.name] = node
            if (first := next(iter(others.values()))) != node:
                self._complain(member, f"is {node.name} at {node.addr}, but another member is that at {first.addr}")
        else:
            self._there[node.name].pop(member.name, None)
        yield node.name

    def _tell(self, nodes: Iterable[str]) -> list[NodeReport]:
        news = []
        for name in nodes:
            node = next(iter(self._there.get(name, {}).values()), None)
            if name not in self._told or self._told[name] != node:
                self._told[name] = node
                news.append(NodeReport(name, node))
        return news

    def _forget(self, member: str) -> None:
        if (node := self._node_of.pop(member, None)) is not None:
            self._there[node].pop(member, None)

    def _parse(self, member: SerfMember) -> MonitoredNode | None:
        """Return the node that a member stands for, None if it stands for none."""
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
