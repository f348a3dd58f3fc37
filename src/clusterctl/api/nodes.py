"""The client's methods for nodes."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, Unpack

from clusterctl.api import following
from clusterctl.api.models import Json, read
from clusterctl.api.options import names_of, nodes_members
from clusterctl.api.paging import PAGE, pages
from clusterctl.api.request_options import JobOptions, NodesOptions
from clusterctl.api.rest import RestClient
from clusterctl.api.retry import PrintNote
from clusterm.common.addresses import parse_place
from clusterm.common.node_names import serial_from_place
from clusterm.enums import Action, State, Status
from clusterm.schemas import (
    ActionInfo,
    ActionList,
    Event,
    Explanation,
    ImportAnswer,
    ImportedNode,
    Job,
    KnownHostKeys,
    MonitorAnswer,
    MonitoredNode,
    Node,
    NodeStates,
    Plan,
)


class Nodes:
    """The nodes of a service, and actions on them: `client.nodes`.

    Methods that start a job return it at once: `client.jobs.wait` waits for its end. `names` are names of nodes, their
    management addresses, or globs of names such as `rack1-*`.
    """

    def __init__(self, rest: RestClient, note: PrintNote) -> None:
        self._rest = rest
        self._note = note

    def list(
        self,
        names: str | Sequence[str] = (),
        *,
        status: Sequence[Status] = (),
        state: Sequence[State] = (),
        host_group: Sequence[str] = (),
        text: str | None = None,
    ) -> Iterator[Node]:
        """Yield nodes by name, from as many pages as there are.

        Args:
            names: only these nodes; without names all.
            status: only nodes with one of these statuses.
            state: only nodes in one of these states.
            host_group: only nodes in one of these host groups.
            text: only nodes with this text in the name, address or host group.
        """

        def page(cursor: str | None) -> Json:
            return self._rest.node_page(
                limit=PAGE,
                cursor=cursor,
                name=names_of(names),
                status=status,
                state=state,
                host_group=host_group,
                q=text,
            )

        return pages(Node, page)

    def states(
        self, *, since: datetime | None = None, until: datetime | None = None, text: str | None = None
    ) -> NodeStates:
        """Return when each node was in which status and state.

        Args:
            since: from this time on; None for a day before `until`.
            until: up to this time; None for now.
            text: only nodes with this text in the name, address or host group.
        """
        return read(NodeStates, self._rest.node_states(since=since, until=until, text=text))

    def get(self, name: str) -> Node:
        """Return a node."""
        return read(Node, self._rest.node(name))

    def events(self, name: str, *, since: datetime | None = None) -> Iterator[Event]:
        """Yield all events of a node, oldest first, from as many pages as there are."""
        ask = partial(self._rest.node_events, name, since=since)
        return (read(Event, event) for event in following.all_events(ask))

    def follow_events(self, name: str, *, limit: int = 30, since: datetime | None = None) -> Iterator[Event]:
        """Yield the last `limit` events of a node, then new ones as they happen, without end."""
        ask = partial(self._rest.without_outage().node_events, name)
        return (read(Event, event) for event in following.events(ask, self._note, limit=limit, since=since))

    def explain(self, name: str) -> Explanation:
        """Return what a node's status means, its cause, and the commands that may follow."""
        return read(Explanation, self._rest.explanation(name))

    def commission(self, names: str | Sequence[str] = (), *, host_group: str, **options: Unpack[NodesOptions]) -> Job:
        """Start a job that makes nodes part of the cluster, and return the job.

        Args:
            names: the nodes.
            host_group: their host group.
            options: see `NodesOptions`.
        """
        return self._start(Action.COMMISSION, names, host_group, options)

    def decommission(self, names: str | Sequence[str] = (), **options: Unpack[NodesOptions]) -> Job:
        """Start a job that takes nodes out of the cluster, and return the job.

        Args:
            names: the nodes.
            options: see `NodesOptions`.
        """
        return self._start(Action.DECOMMISSION, names, None, options)

    def update(
        self, names: str | Sequence[str] = (), *, host_group: str | None = None, **options: Unpack[NodesOptions]
    ) -> Job:
        """Start a job that configures nodes of the cluster again, and return the job.

        Args:
            names: the nodes.
            host_group: the host group to which they move; None keeps theirs.
            options: see `NodesOptions`.
        """
        return self._start(Action.UPDATE, names, host_group, options)

    def run(
        self,
        action: str,
        names: str | Sequence[str] = (),
        *,
        host_group: str | None = None,
        **options: Unpack[NodesOptions],
    ) -> Job:
        """Start a job with any action, and return the job.

        Args:
            action: an action of the site, or a built-in one.
            names: the nodes.
            host_group: the host group that the nodes join, if the action needs one.
            options: see `NodesOptions`.
        """
        return read(Job, self._rest.run(action, names_of(names), host_group=host_group, **nodes_members(options)))

    def actions(self) -> Sequence[ActionInfo]:
        """Return all actions that can be run on nodes, the built-in ones first."""
        return read(ActionList, self._rest.actions()).items

    def action(self, name: str) -> ActionInfo:
        """Return an action that can be run on nodes."""
        return read(ActionInfo, self._rest.action(name))

    def plan(
        self,
        action: str,
        names: str | Sequence[str] = (),
        *,
        host_group: str | None = None,
        **options: Unpack[NodesOptions],
    ) -> Plan:
        """Return what an action would do now, or why the service would refuse it.

        Args:
            action: an action of the site, or commission, decommission or update.
            names: the nodes.
            host_group: as for the action.
            options: see `NodesOptions`.
        """
        return read(Plan, self._rest.plan(action, names_of(names), host_group=host_group, **nodes_members(options)))

    def discover(self, addrs: str | Sequence[str], **options: Unpack[JobOptions]) -> Job:
        """Start a job that prepares machines and adds them as nodes, and return the job.

        Args:
            addrs: IP addresses, host names, ranges or networks.
            options: see `JobOptions`.
        """
        return read(Job, self._rest.discover(names_of(addrs), **options))

    def add(self, label: str, addr: str, *, serial: str | None = None) -> Node:
        """Add a node without running a playbook, and return it.

        Args:
            label: first part of the node's name.
            addr: management address, with `:port` if its ssh server has another port than 22.
            serial: second part of the name; None makes it from the address.

        Raises:
            ValueError: the address is not valid.
        """
        (name,) = self._rest.announce(label, serial or serial_from_place(parse_place(addr)), addr)
        return self.get(name)

    def report(self, event: Literal["discovered", "disappeared"], nodes: Sequence[MonitoredNode]) -> MonitorAnswer:
        """Report that nodes were discovered or have disappeared, as a monitoring system does."""
        reported = [node.model_dump(mode="json", exclude_unset=True) for node in nodes]
        return read(MonitorAnswer, self._rest.report(event, reported))

    def import_nodes(
        self, nodes: Sequence[ImportedNode], *, groups: dict[str, str] | None = None, dry_run: bool = False
    ) -> ImportAnswer:
        """Add the nodes of an inventory, and return the outcome for each. Existing nodes are not changed.

        Args:
            nodes: the nodes.
            groups: host group by group of the inventory.
            dry_run: whether only the outcomes are returned.
        """
        added = [node.model_dump(mode="json", exclude_unset=True) for node in nodes]
        return read(ImportAnswer, self._rest.import_nodes(added, groups or {}, dry_run=dry_run))

    def set(self, name: str, *, host_vars: dict[str, Any] | None = None, host_group: str | None = None) -> Node:
        """Set a node's host vars or host group for later jobs, and return the node.

        Args:
            name: the node.
            host_vars: host vars to set; null removes one, and others keep their values.
            host_group: the host group; None keeps it.
        """
        return read(Node, self._rest.set_node(name, host_group=host_group or "", host_vars=host_vars or {}))

    def rename(self, name: str, new: str) -> Node:
        """Rename a node, and return it."""
        return read(Node, self._rest.rename_node(name, new))

    def remove(self, name: str, *, force: bool = False) -> Node:
        """Remove a node, with `force` also if it is part of the cluster, and return its last state."""
        return read(Node, self._rest.remove_node(name, force=force))

    def trust(self, name: str, keys: Sequence[str]) -> KnownHostKeys:
        """Replace a node's ssh host keys, and return the known and the forgotten ones.

        Args:
            name: the node, or the IP address of a machine that is yet to be discovered.
            keys: public keys, as in `/etc/ssh/ssh_host_*_key.pub`.
        """
        return read(KnownHostKeys, self._rest.set_host_keys(name, keys))

    def forget_key(self, name: str) -> KnownHostKeys:
        """Forget a node's ssh host keys: the next job trusts the key that it finds."""
        return self.trust(name, [])

    def _start(self, action: str, names: str | Sequence[str], host_group: str | None, options: NodesOptions) -> Job:
        members = nodes_members(options)
        return read(Job, self._rest.start(action, names_of(names), host_group=host_group, **members))
