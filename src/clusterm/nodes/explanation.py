"""Explains a node: the meaning of its status and state, why it has them, and which commands may follow.

Commands are checked by the rules themselves, so that an explanation never differs from what the service does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from clusterm.common.actions import NODE_ACTIONS, ActionSpec, HostGroupUse
from clusterm.enums import DEFAULT_HOST_GROUPS, ENDED, EventName, HostGroups, JobStatus, Outcome, State, Status
from clusterm.errors import RequestRefused
from clusterm.nodes import lifecycle
from clusterm.nodes.lifecycle import NodeFacts
from clusterm.schemas import Event, Explanation, Failure, Job, SuggestedCommand
from clusterm.store.nodes import not_found

_STATUS: Final = {
    Status.UNALLOCATED: "known, but not part of the cluster",
    Status.PROVISIONING: "being commissioned: the configure playbook runs on it",
    Status.ALLOCATED: "part of the cluster",
    Status.MAINTENANCE: "being updated: the cleanup and the configure playbook run on it",
    Status.CANCELLED: "being decommissioned: the cleanup playbook runs on it",
    Status.DECOMMISSIONED: "taken out of the cluster",
}
_STATE: Final = {
    State.UNKNOWN: "monitoring has not reported it yet",
    State.DISCOVERED: "it can be reached, as far as monitoring knows",
    State.DISAPPEARED: "it could be reached, and no longer can: look at its power and network",
}
_NEWS: Final = frozenset({EventName.DISCOVERED, EventName.DISAPPEARED})

_BEFORE: Final = 5
"""Log lines to show before the failure."""


@dataclass(frozen=True)
class ExplanationInput:
    """The facts that an explanation is made from.

    Attributes:
        address: its management address.
        label: the first part of its name.
        serial: the second part.
        cluster: every node there is, by name.
        events: its events, newest last.
        job: the job that runs on it, else the job that set its status; None if there was none or it is no longer kept.
        spec: the definition of its action.
        waiting: ids of the queued jobs on it.
        refused: why the service would start no job on it now; None if it would.
        groups: the site's host groups.
        actions: the site's actions.
    """

    address: str
    label: str
    serial: str
    cluster: Mapping[str, NodeFacts]
    events: Sequence[Event]
    job: Job | None
    spec: ActionSpec | None = None
    waiting: Sequence[int] = ()
    refused: str | None = None
    groups: HostGroups = field(default_factory=lambda: DEFAULT_HOST_GROUPS)
    actions: Sequence[ActionSpec] = ()


def explain(name: str, facts: ExplanationInput) -> Explanation:
    """Explain a node.

    Args:
        name: its name.
        facts: what is known of it.
    """
    node = facts.cluster[name]
    ended = last_job_event(facts.events)
    failures = [failure for failure in facts.job.failures if failure.node == name] if facts.job else []
    return Explanation(
        node=name,
        status=node.status,
        status_means=_STATUS[node.status],
        since=_since(facts, ended),
        state=node.state,
        state_means=_STATE[node.state],
        state_since=next((event.at for event in reversed(facts.events) if event.event in _NEWS), None),
        host_group=node.host_group,
        event=ended,
        job=facts.job,
        failures=failures,
        look_at=list(_look_at(facts, ended, failures)),
        waiting=list(facts.waiting),
        next_steps=list(_next_steps(node, facts)),
    )


def last_job_event(events: Sequence[Event]) -> Event | None:
    """Return the last event with which a job ended for the node; None if there is none."""
    return next((event for event in reversed(events) if event.job is not None and event.result is not None), None)


def _since(facts: ExplanationInput, ended: Event | None) -> datetime | None:
    """Return since when the node has its status."""
    if facts.job is not None and facts.job.status is JobStatus.RUNNING:
        return facts.job.started_at
    if ended is not None:
        return ended.at
    return facts.events[0].at if facts.events else None


def _look_at(facts: ExplanationInput, ended: Event | None, failures: Sequence[Failure]) -> Iterator[str]:
    """Yield commands that show details."""
    job = facts.job
    if job is None:
        if ended is not None:
            yield f"clusterctl node events {ended.node}"
        return
    if job.status not in ENDED:
        yield f"clusterctl job get {job.id} --follow"
        return
    yield f"clusterctl job get {job.id}"
    for line in [failure.line for failure in failures if failure.line is not None][:1]:
        yield f"clusterctl job logs {job.id} --from {max(line - _BEFORE, 1)}"


def _next_steps(node: NodeFacts, facts: ExplanationInput) -> Iterator[SuggestedCommand]:
    """Yield every command for the node, and whether it would be rejected now."""
    job = facts.job
    if node.state is not State.DISCOVERED:
        command = f"clusterctl node add {facts.label} --serial {facts.serial} --addr {facts.address}"
        yield SuggestedCommand(command=command, what="say that it can be reached again", allowed=True)
    if job is not None and job.status is JobStatus.RUNNING:
        yield SuggestedCommand(
            command=f"clusterctl job cancel {job.id}", what="stop the job that runs on it", allowed=True
        )
    for action in (*NODE_ACTIONS, *facts.actions):
        for group in facts.groups if action.host_group is HostGroupUse.REQUIRED else [""]:
            option = f" --host-group {group}" if group else ""
            verb = f"nodes run {action.name}" if action.of_site else f"node {action.name}"
            command = f"clusterctl {verb} {node.name}{option}"
            yield _job_step(command, action.suggestion.format(group=group), action, [node.name], group, facts)
    spec = facts.spec
    if spec is not None and spec.on_nodes and job and job.status in {JobStatus.ERRORED, JobStatus.CANCELLED}:
        failed = [name for name in job.nodes if job.outcomes.get(name) is not Outcome.PASSED]
        option, which = (
            ("", "all its nodes") if failed == job.nodes else (" --failed-only", "the nodes that did not pass")
        )
        command, what = f"clusterctl job retry {job.id}{option}", f"retry job {job.id} on {which}"
        if names := lifecycle.left_to_retry(spec, failed, facts.cluster, check=job.check):
            yield _job_step(command, what, spec, names, job.host_group, facts, retries=True)


def _job_step(
    command: str,
    what: str,
    spec: ActionSpec,
    names: Sequence[str],
    host_group: str,
    facts: ExplanationInput,
    *,
    retries: bool = False,
) -> SuggestedCommand:
    """Return a command that starts a job, with the reason for which it would be rejected, if any."""
    refusal = _refusal(spec, names, host_group, facts, retries=retries)
    reason = facts.refused if refusal is None else str(refusal)
    return SuggestedCommand(command=command, what=what, allowed=reason is None, reason=reason)


def _refusal(
    spec: ActionSpec, names: Sequence[str], host_group: str, facts: ExplanationInput, *, retries: bool
) -> RequestRefused | None:
    """Return the first rule that a request would violate now."""
    for name in names:
        if name not in facts.cluster:
            return not_found(name)
    if violation := lifecycle.host_group_violation(spec, host_group, facts.groups):
        return violation.refusal
    named = [facts.cluster[name] for name in names]
    violations = lifecycle.violations(spec, named, host_group, facts.cluster, facts.groups, retries=retries)
    return next((violation.refusal for violation in violations), None)
