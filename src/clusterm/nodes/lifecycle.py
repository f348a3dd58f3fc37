"""The lifecycle of nodes as pure functions: what an action may do, which steps follow, and which status nodes get.

A request is checked as a whole before anything changes.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from clusterm.common.actions import ActionSpec, HostGroupUse, StepSpec, Transition
from clusterm.enums import DEFAULT_HOST_GROUPS, HostGroups, Role, State, Status
from clusterm.errors import BadRequest, Conflict, RequestRefused, quote
from clusterm.problem_codes import ProblemCode


class NodeFacts(Protocol):
    """What the rules need to know of a node."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def status(self) -> Status:
        """Its status."""

    @property
    def state(self) -> State:
        """Its state."""

    @property
    def host_group(self) -> str:
        """Its host group."""


@dataclass(frozen=True)
class RuleViolation:
    """A rule that forbids a request."""

    refusal: RequestRefused
    nodes: Sequence[str] = ()
    """Names of the nodes that violate the rule; empty if the request as a whole does."""


def violations(
    spec: ActionSpec,
    nodes: Sequence[NodeFacts],
    host_group: str,
    cluster: Mapping[str, NodeFacts],
    groups: HostGroups = DEFAULT_HOST_GROUPS,
    *,
    retries: bool = False,
) -> Iterator[RuleViolation]:
    """Yield every rule that the state of the cluster makes an action violate.

    Args:
        spec: an action on nodes.
        nodes: its nodes.
        host_group: the group asked for, if any.
        cluster: every node, by name.
        groups: the site's host groups. A node in a group that is not among them counts as a worker.
        retries: whether the action retries a job, and so may start from the status in which a failure leaves nodes.
    """
    if absent := [node.name for node in nodes if node.state not in spec.states]:
        wanted = " or ".join(state for state in State if state in spec.states)
        yield RuleViolation(
            Conflict(
                f"not all nodes are in the state {wanted}: {', '.join(absent)}. Check whether they can be reached",
                ProblemCode.NODES_NOT_DISCOVERED,
                names=" ".join(absent),
            ),
            absent,
        )
    if strangers := [node.name for node in nodes if spec.host_groups and node.host_group not in spec.host_groups]:
        yield RuleViolation(
            Conflict(
                f"{spec.name} is only for nodes in the host groups {', '.join(spec.host_groups)}, not for: "
                f"{', '.join(strangers)}",
                ProblemCode.HOST_GROUP_NOT_ALLOWED,
            ),
            strangers,
        )
    if spec.stays_in_cluster and not host_group:
        yield from _nodes_in_unknown_groups(nodes, groups)
    if refusal := _violated_master_rule(spec, nodes, host_group, cluster, groups):
        yield RuleViolation(refusal)
    transition = transition_of(spec)
    sources = transition.sources
    if retries and transition.failure is not None:
        sources |= {transition.failure}
    allowed = " or ".join(status for status in Status if status in sources)
    for node in nodes:
        if node.status not in sources:
            yield RuleViolation(
                Conflict(
                    f"cannot {spec.name} {node.name}: it is {node.status}, and would have to be {allowed}",
                    ProblemCode.TRANSITION_NOT_ALLOWED,
                    name=node.name,
                    status=node.status,
                    running=transition.running or node.status,
                ),
                [node.name],
            )


def host_group_violation(
    spec: ActionSpec, host_group: str, groups: HostGroups = DEFAULT_HOST_GROUPS
) -> RuleViolation | None:
    """Return the violation of a request that names no valid host group although it has to."""
    if not host_group and spec.host_group is not HostGroupUse.REQUIRED:
        return None
    try:
        check_host_group(host_group, groups)
    except BadRequest as refusal:
        return RuleViolation(refusal)
    return None


def check_host_group(host_group: str, groups: HostGroups) -> None:
    """Check that a host group is one of the site's.

    Raises:
        BadRequest: it is not.
    """
    if host_group not in groups:
        raise BadRequest(
            f"{quote(host_group)} is no host group. Host groups: {', '.join(groups)}"
            if host_group
            else f"give a host group: {', '.join(groups)}",
            ProblemCode.INVALID_HOST_GROUP,
            host_group=quote(host_group),
        )


def first_group(groups: HostGroups) -> str:
    """Return the host group of a node for which none was chosen: the first that acts as master."""
    return next(name for name, role in groups.items() if role is Role.MASTER)


class Upcoming(NamedTuple):
    """The step of a batch to run next."""

    name: str
    nodes: Sequence[str]
    rolls_back: bool
    attempt: int = 1


class _Position(NamedTuple):
    """How far a batch has come."""

    step: StepSpec | None
    """The required step to run next; None after the last one, or if no node is left."""
    nodes: Sequence[str]
    """The nodes to run it on."""
    attempt: int
    ended: int
    """How many of the steps that have ended were required ones."""
    passed: Sequence[str]
    """The nodes that have passed every required step that has ended."""
    failed: Sequence[str]
    """The nodes that have failed a step that is rolled back."""
    unfinished: Sequence[str]
    """The other nodes on which a step began that is rolled back, and that are not at the end."""


def next_step(
    spec: ActionSpec,
    nodes: Sequence[str],
    done: Sequence[tuple[str, Collection[str]]],
    *,
    check: bool = False,
    partial: bool = True,
    stopped: bool = False,
) -> Upcoming | None:
    """Return the step to run next; None when the batch is at its end.

    Args:
        spec: the job's action.
        nodes: the nodes of the batch.
        done: the steps run so far, in order, and the nodes that passed each.
        check: whether ansible runs in check mode: then there is nothing to roll back.
        partial: whether nodes pass a step although others fail it.
        stopped: whether the job is to be stopped.
    """
    at = _walk(spec, nodes, done, check=check, partial=partial)
    required = Upcoming(at.step.name, at.nodes, rolls_back=False, attempt=at.attempt) if at.step else None
    if required and not stopped:
        return required
    rollback = None if check else spec.rollback
    is_due = spec.rolls_back_stops if stopped else spec.rolls_back_failures
    to_undo = set(at.failed).union(at.unfinished if stopped else ())
    if rollback is None or not is_due or not to_undo or at.ended < len(done):
        return required  # which a stopped job does not begin
    chosen = list(nodes) if spec.rolls_back_batch else [node for node in nodes if node in to_undo]
    return Upcoming(rollback.name, chosen, rolls_back=True)


def passed(
    spec: ActionSpec,
    nodes: Iterable[str],
    done: Sequence[tuple[str, Collection[str]]],
    *,
    check: bool = False,
    partial: bool = True,
) -> set[str]:
    """Return the nodes that passed every step of an action; for the arguments see `next_step`."""
    at = _walk(spec, list(nodes), done, check=check, partial=partial)
    return set(at.passed) if at.step is None else set()


def _walk(
    spec: ActionSpec,
    nodes: Sequence[str],
    done: Sequence[tuple[str, Collection[str]]],
    *,
    check: bool,
    partial: bool,
) -> _Position:
    """Follow the steps that have ended; for the arguments see `next_step`."""
    left, ended = list(nodes), 0
    failed: list[str] = []
    before: StepSpec | None = None
    steps = spec.required_steps(check=check)
    for step in steps:
        if not left:
            break
        missing, succeeded = left, set[str]()
        for attempt in range(1, step.retries + 2):
            if ended == len(done):
                begun = step if attempt > 1 else before
                at_end = succeeded if step is steps[-1] else ()
                unfinished = [node for node in left if node not in at_end] if begun and begun.rollback else []
                return _Position(step, missing, attempt, ended, left, failed, unfinished)
            succeeded |= set(done[ended][1]).intersection(missing)
            missing = [node for node in left if node not in succeeded]
            ended += 1
            if not missing:
                break
        if missing and not partial:
            missing, succeeded = left, set()
        if step.rollback:
            failed += missing
        left = [node for node in left if node in succeeded]
        before = step
    return _Position(None, (), 1, ended, left, failed, ())


def status_after(spec: ActionSpec, *, passed: bool) -> Status | None:
    """Return the status of a node when the job on it has ended; None for that before the job."""
    transition = transition_of(spec)
    return transition.success if passed else transition.failure


def left_to_retry(
    spec: ActionSpec, names: Iterable[str], cluster: Mapping[str, NodeFacts], *, check: bool
) -> list[str]:
    """Return the nodes on which the retry of a job has something to do: nodes that are not in the cluster yet.

    Args:
        spec: the job's action.
        names: the nodes or addresses to retry it on.
        cluster: the nodes by name; a node may have been removed.
        check: whether ansible runs in check mode, which changes no node.
    """
    if check or not spec.enters_cluster:
        return list(names)
    done = transition_of(spec).success
    return [name for name in names if name not in cluster or cluster[name].status is not done]


def transition_of(spec: ActionSpec) -> Transition:
    """Return the transition of an action on nodes.

    Raises:
        ValueError: the action runs on addresses.
    """
    if spec.transition is None:
        raise ValueError(f"{spec.name} has no transition: it runs on addresses")
    return spec.transition


def _nodes_in_unknown_groups(nodes: Sequence[NodeFacts], groups: HostGroups) -> Iterator[RuleViolation]:
    """Object to nodes in a group that the configuration no longer names: playbooks do not know it."""
    if unknown := [node for node in nodes if node.host_group not in groups]:
        listed = " ".join(f"{node.name}:{node.host_group}" for node in unknown)
        yield RuleViolation(
            Conflict(
                "one or more nodes are in a host group that ansible.host_groups does not name any more: "
                f"[{listed}]. Update them with a host group: {', '.join(groups)}",
                ProblemCode.HOST_GROUP_NOT_CONFIGURED,
            ),
            [node.name for node in unknown],
        )


def _violated_master_rule(
    spec: ActionSpec,
    nodes: Sequence[NodeFacts],
    host_group: str,
    cluster: Mapping[str, NodeFacts],
    groups: HostGroups,
) -> Conflict | None:
    """Return why an action would leave a worker without a reachable master; None if it would not."""
    becomes_worker = groups.get(host_group) is Role.WORKER
    named = {node.name for node in nodes}
    others = [node for node in cluster.values() if node.name not in named]
    if any(_is_master(node, groups) and node.state is State.DISCOVERED for node in others):
        return None
    if spec.enters_cluster and becomes_worker:
        return Conflict(
            "a worker needs a reachable master in the cluster: commission a master first", ProblemCode.MASTER_REQUIRED
        )
    if spec.stays_in_cluster and becomes_worker:
        return Conflict(
            "no reachable master would be left in the cluster: commission another master, or update a node to master, "
            "first",
            ProblemCode.NO_MASTER_LEFT,
        )
    takes_a_master = any(_is_master(node, groups) for node in nodes)
    if spec.leaves_cluster and takes_a_master and any(_is_worker(node, groups) for node in others):
        return Conflict(
            "only workers would be left in the cluster: decommission all workers before the last reachable master",
            ProblemCode.ONLY_WORKERS_LEFT,
        )
    return None


def spread_masters(
    spec: ActionSpec,
    names: Sequence[str],
    sizes: Sequence[int],
    cluster: Mapping[str, NodeFacts],
    groups: HostGroups,
) -> Sequence[str]:
    """Return the nodes of a job in an order in which no batch takes too many masters; unchanged without `min_masters`.

    Args:
        spec: the action.
        names: the nodes.
        sizes: the sizes of the batches.
        cluster: every node, by name.
        groups: the site's host groups.

    Raises:
        Conflict: there is no such order.
    """
    masters = [name for name in names if name in cluster and _is_master(cluster[name], groups)]
    if not spec.min_masters or not masters:
        return names
    in_service = sum(_is_master(node, groups) and node.state is State.DISCOVERED for node in cluster.values())
    most = max(in_service - spec.min_masters, 0)
    room = [min(size, most) for size in sizes]
    if sum(room) < len(masters):
        raise Conflict(
            f"no batch of {-(-len(masters) // len(sizes))} masters can leave {spec.min_masters} in service: use "
            "smaller batches",
            ProblemCode.MIN_MASTERS,
        )
    others = [name for name in names if name not in set(masters)]
    ordered: list[str] = []
    for number, size in enumerate(sizes):
        share = -(-len(masters) * size // (size + sum(sizes[number + 1 :])))
        least = max(len(masters) - sum(room[number + 1 :]), size - len(others))
        taken = max(min(share, room[number], len(masters)), least)
        ordered += [*masters[:taken], *others[: size - taken]]
        masters, others = masters[taken:], others[size - taken :]
    return ordered


def _is_master(node: NodeFacts, groups: HostGroups) -> bool:
    return node.status is Status.ALLOCATED and groups.get(node.host_group) is Role.MASTER


def _is_worker(node: NodeFacts, groups: HostGroups) -> bool:
    """Return whether a node is a worker or, with a job on it, may become one."""
    present = {Status.ALLOCATED, Status.PROVISIONING, Status.MAINTENANCE}
    return node.status in present and groups.get(node.host_group) is not Role.MASTER
