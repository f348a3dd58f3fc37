"""The rules of the lifecycle, applied to a request as admission applies them."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from clusterm.common.actions import ACTIONS
from clusterm.enums import DEFAULT_HOST_GROUPS, HostGroups, State, Status
from clusterm.nodes import lifecycle
from clusterm.nodes.selection import select
from clusterm.schemas import NodeSelection
from clusterm.store.nodes import Candidate


def facts(name: str, status: Status, state: State, host_group: str) -> Candidate:
    """Return a node for the rules; its address is its name."""
    return Candidate(name, name, status, state, host_group)


def check(
    action: str,
    names: Iterable[str],
    host_group: str,
    cluster: Mapping[str, Candidate],
    groups: HostGroups = DEFAULT_HOST_GROUPS,
) -> None:
    """Raise the refusal of a request, if a rule forbids it."""
    spec = ACTIONS[action]
    selected = select(list(names), NodeSelection(), list(cluster.values()))
    for refusal in selected.refusals:
        raise refusal
    if violation := lifecycle.host_group_violation(spec, host_group, groups):
        raise violation.refusal
    nodes = [cluster[name] for name in selected.names]
    for violation in lifecycle.violations(spec, nodes, host_group, cluster, groups):
        raise violation.refusal


def next_step(
    action: str, nodes: Sequence[str], done: Sequence[tuple[str, Collection[str]]]
) -> tuple[str, Sequence[str]] | None:
    """Return the step to run next, and its nodes."""
    upcoming = lifecycle.next_step(ACTIONS[action], nodes, done)
    return upcoming and upcoming[:2]
