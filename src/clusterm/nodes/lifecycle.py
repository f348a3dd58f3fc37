"""The lifecycle of nodes as pure functions: who may do what, which steps follow, and where nodes end up.

A request is checked as a whole before anything changes. The phrases of the errors are contiv's.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from clusterm.enums import DEFAULT_HOST_GROUPS, Action, HostGroups, Role, State, Status, StepName
from clusterm.errors import BadRequest, Conflict, NotFound, RequestRefused, quote


@dataclass(frozen=True)
class NodeFacts:
    """What the rules need to know of a node."""

    name: str
    status: Status
    state: State
    host_group: str


@dataclass(frozen=True)
class RuleViolation:
    """A rule that forbids a request."""

    refusal: RequestRefused
    nodes: Sequence[str] = ()
    """The nodes because of which it does; none where it is about the request as a whole."""


@dataclass(frozen=True)
class Transition:
    """How an action takes a node from one status to another."""

    sources: frozenset[Status]
    running: Status
    success: Status
    failure: Status


TRANSITIONS: Final[Mapping[Action, Transition]] = {
    Action.COMMISSION: Transition(
        frozenset({Status.UNALLOCATED, Status.DECOMMISSIONED}),
        running=Status.PROVISIONING,
        success=Status.ALLOCATED,
        failure=Status.UNALLOCATED,
    ),
    # An unallocated node may be decommissioned to clean up after a failed commission.
    Action.DECOMMISSION: Transition(
        frozenset({Status.ALLOCATED, Status.UNALLOCATED}),
        running=Status.CANCELLED,
        success=Status.DECOMMISSIONED,
        failure=Status.DECOMMISSIONED,
    ),
    Action.UPDATE: Transition(
        frozenset({Status.ALLOCATED}),
        running=Status.MAINTENANCE,
        success=Status.ALLOCATED,
        failure=Status.UNALLOCATED,
    ),
}

STEPS: Final[Mapping[Action, Sequence[StepName]]] = {
    Action.COMMISSION: (StepName.CONFIGURE,),
    Action.DECOMMISSION: (StepName.CLEANUP,),
    Action.UPDATE: (StepName.CLEANUP, StepName.CONFIGURE),
    Action.DISCOVER: (StepName.CONFIGURE,),
}
"""The steps that must pass, in order, for a job to be complete."""

_ROLLED_BACK: Final = frozenset({Action.COMMISSION, Action.UPDATE})
"""Actions that clean up after a failed configure."""


def find(names: Iterable[str], cluster: Mapping[str, NodeFacts]) -> list[NodeFacts]:
    """Return the named members.

    Raises:
        BadRequest: no name is given.
        NotFound: there is no such node.
    """
    names = list(names)
    if not names:
        raise BadRequest("atleast one node should be specified")
    for name in names:
        if name not in cluster:
            raise NotFound(f"node with name or address {quote(name)} doesn't exists")
    return [cluster[name] for name in names]


def check(
    action: Action,
    names: Iterable[str],
    host_group: str,
    cluster: Mapping[str, NodeFacts],
    groups: HostGroups = DEFAULT_HOST_GROUPS,
) -> None:
    """Check that an action may be done to nodes.

    Args:
        action: commission, decommission or update.
        names: the nodes' names.
        host_group: the group asked for; empty in an update means that it stays as it is.
        cluster: every node there is, by name.
        groups: the site's host groups. A node in one that is no longer among them counts as a worker.

    Raises:
        BadRequest: no node is given, or no valid host group.
        NotFound: there is no such node.
        Conflict: the cluster is not in a state to do it.
    """
    nodes = find(names, cluster)
    check_host_group(action, host_group, groups)
    for violation in violations(action, nodes, host_group, cluster, groups):
        raise violation.refusal


def violations(
    action: Action,
    nodes: Sequence[NodeFacts],
    host_group: str,
    cluster: Mapping[str, NodeFacts],
    groups: HostGroups = DEFAULT_HOST_GROUPS,
) -> Iterator[RuleViolation]:
    """Yield every rule that the cluster as it is makes forbid an action.

    Args:
        action: commission, decommission or update.
        nodes: its nodes.
        host_group: the group asked for, if any.
        cluster: every node there is, by name.
        groups: the site's host groups.
    """
    if absent := [node.name for node in nodes if node.state is not State.DISCOVERED]:
        yield RuleViolation(
            Conflict(
                "one or more nodes are not in discovered state, please check their network reachability. "
                f"Non-discovered nodes: [{' '.join(absent)}]"
            ),
            absent,
        )
    if action is Action.UPDATE and not host_group:
        yield from _nodes_in_unknown_groups(nodes, groups)
    try:
        _check_masters(action, nodes, host_group, cluster, groups)
    except Conflict as refusal:
        yield RuleViolation(refusal)
    transition = TRANSITIONS[action]
    for node in nodes:
        if node.status not in transition.sources:
            yield RuleViolation(
                Conflict(
                    f"failed to update {node.name}'s state in inventory, "
                    f'Error: transition from "{node.status}" to "{transition.running}" is not allowed'
                ),
                [node.name],
            )


def check_host_group(action: Action, host_group: str, groups: HostGroups = DEFAULT_HOST_GROUPS) -> None:
    """Check that a host group is one, and given where it is needed.

    Raises:
        BadRequest: it is not.
    """
    optional = action is not Action.COMMISSION
    if host_group not in groups and not (optional and not host_group):
        raise BadRequest(
            f"invalid or empty host-group specified: {quote(host_group)}. Host groups: {', '.join(groups)}"
        )


def first_group(groups: HostGroups) -> str:
    """Return the host group of a node that nobody has put into one: the first that acts as master."""
    return next(name for name, role in groups.items() if role is Role.MASTER)


def next_step(
    action: Action,
    nodes: Sequence[str],
    done: Sequence[tuple[StepName, Collection[str]]],
    *,
    check: bool = False,
) -> tuple[StepName, Sequence[str]] | None:
    """Return the step to run after those that were run, and on which nodes; None when the job is at its end.

    Args:
        action: the job's action.
        nodes: the job's nodes.
        done: the steps run so far, in order, and the nodes that passed each.
        check: whether ansible only says what it would change: then there is nothing to clean up.
    """
    left = nodes
    for position, (step, passed) in enumerate(done, start=1):
        failed = [node for node in left if node not in passed]
        left = [node for node in left if node in passed]
        if failed and step is StepName.CONFIGURE and action in _ROLLED_BACK and not check:
            return (StepName.CLEANUP, failed) if position == len(done) else None
        if not left:
            return None
    steps = STEPS[action]
    return (steps[len(done)], left) if len(done) < len(steps) else None


def passed(action: Action, nodes: Iterable[str], done: Sequence[tuple[StepName, Collection[str]]]) -> set[str]:
    """Return the nodes that passed every step that an action asks for; for the arguments see `next_step`."""
    asked_for = len(STEPS[action])
    return set(nodes).intersection(*(those for _, those in done[:asked_for])) if len(done) >= asked_for else set()


def status_after(action: Action, *, passed: bool) -> Status:
    """Return the status of a node when the job on it has ended."""
    transition = TRANSITIONS[action]
    return transition.success if passed else transition.failure


def _nodes_in_unknown_groups(nodes: Sequence[NodeFacts], groups: HostGroups) -> Iterator[RuleViolation]:
    """Object to nodes in a group of which playbooks do not know any more."""
    if strangers := [node for node in nodes if node.host_group not in groups]:
        listed = " ".join(f"{node.name}:{node.host_group}" for node in strangers)
        yield RuleViolation(
            Conflict(
                "one or more nodes are in a host group that ansible.host_groups does not name any more: "
                f"[{listed}]. Update them with a host group: {', '.join(groups)}"
            ),
            [node.name for node in strangers],
        )


def _check_masters(
    action: Action, nodes: Sequence[NodeFacts], host_group: str, cluster: Mapping[str, NodeFacts], groups: HostGroups
) -> None:
    """Check that no worker will be without a master that can be reached."""
    becomes_worker = groups.get(host_group) is Role.WORKER
    named = {node.name for node in nodes}
    others = [node for node in cluster.values() if node.name not in named]
    if any(_is_master(node, groups) and node.state is State.DISCOVERED for node in others):
        return
    if action is Action.COMMISSION and becomes_worker:
        raise Conflict(
            "Cannot commission a worker node without existence of a master node in the cluster, "
            "make sure atleast one master node is commissioned."
        )
    if action is Action.UPDATE and becomes_worker:
        raise Conflict(
            "Updating these nodes as worker will result in no master node in the cluster, "
            "make sure atleast one node is commissioned as master."
        )
    takes_a_master = any(_is_master(node, groups) for node in nodes)
    if action is Action.DECOMMISSION and takes_a_master and any(_is_worker(node, groups) for node in others):
        raise Conflict(
            "decommissioning the specified node(s) will leave only worker nodes in the cluster, "
            "make sure all worker nodes are decommissioned before last master node."
        )


def _is_master(node: NodeFacts, groups: HostGroups) -> bool:
    return node.status is Status.ALLOCATED and groups.get(node.host_group) is Role.MASTER


def _is_worker(node: NodeFacts, groups: HostGroups) -> bool:
    """Tell whether it is a worker or, with a job on it, may end as one."""
    present = {Status.ALLOCATED, Status.PROVISIONING, Status.MAINTENANCE}
    return node.status in present and groups.get(node.host_group) is not Role.MASTER
