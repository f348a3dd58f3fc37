"""The actions: what each does to the status of nodes, which steps it runs, and which events it records.

An action is a value. Rules, routes, commands, plans and explanations are derived from its specification, so that a new
action is one entry of `ACTIONS`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from clusterm.common.batches import Share
from clusterm.enums import Action, CheckUse, EventName, State, Status, StepName, TokenRole, VarType

NAME_PATTERN: Final = "^[a-z][a-z0-9-]{0,31}$"
"""The names of actions and of their steps."""


class HostGroupUse(Enum):
    """How an action uses the host group of a request."""

    REQUIRED = "required"  # nodes join this group
    OPTIONAL = "optional"  # nodes move to this group; without one they stay in theirs
    IGNORED = "ignored"  # nodes stay in their group


@dataclass(frozen=True)
class Transition:
    """How an action moves a node from one status to another."""

    sources: frozenset[Status]
    """Statuses from which a node may start."""
    running: Status | None
    """The status while the job runs; here and below, None for an unchanged status."""
    success: Status | None
    failure: Status | None


@dataclass(frozen=True)
class VarSpec:
    """A var that a request for an action may give."""

    name: str
    type: VarType = VarType.STRING
    required: bool = False
    default: Any = None
    """None for no default."""
    pattern: str = ""
    """A regular expression that the whole text has to match."""
    secret: bool = False
    choices: tuple[Any, ...] = ()
    min: float | None = None
    """Least value, length or number of items."""
    max: float | None = None
    description: str = ""


@dataclass(frozen=True)
class StepSpec:
    """One playbook run of an action."""

    name: str
    playbook_setting: str = ""
    """Field of the section `ansible` that names the playbook."""
    rollback: "StepSpec | None" = None
    """Runs on the nodes that failed this step."""
    playbook: str = ""
    """The playbook, where no setting names it."""
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    timeout: float = 0
    """Seconds after which the job is stopped; 0 for no limit."""
    retries: int = 0
    """How often it is repeated on the nodes that failed it."""
    delay: float = 0
    """Seconds before a repetition."""
    settle: float = 0
    """Seconds before its first attempt."""


@dataclass(frozen=True)
class ActionSpec:
    """An action."""

    name: str
    summary: str
    """Title in the API documentation."""
    description: str
    """Text in the API documentation."""
    steps: tuple[StepSpec, ...]
    """Steps that must pass, in order, for a job to be complete."""
    ended_event: EventName
    """Recorded for each node when the job ends."""
    begun_event: EventName | None = None
    """Recorded for each node when the job starts; None for no event."""
    transition: Transition | None = None
    """None for an action on addresses that are not nodes yet."""
    host_group: HostGroupUse = HostGroupUse.IGNORED
    suggestion: str = ""
    """What the action does to a node, for `explain`; `{group}` stands for the host group."""
    of_site: bool = False
    """Whether the site has configured it."""
    states: frozenset[State] = frozenset({State.DISCOVERED})
    """States in which nodes have to be."""
    host_groups: tuple[str, ...] = ()
    """The host groups of its nodes; empty for any."""
    batch: tuple[Share, ...] = ()
    """Sizes of batches, unless the request gives others; empty for all nodes at once."""
    max_failures: Share | None = None
    min_masters: int = 0
    """So many masters in service stay outside of each batch."""
    role: TokenRole = TokenRole.OPERATOR
    """The role that a request needs."""
    confirm: bool | int = False
    """Whether the number of nodes has to be confirmed, or the number above which it has to be."""
    check: CheckUse = CheckUse.ALLOWED
    max_jobs: int = 0
    """How many of its jobs may run at a time; 0 for no limit."""
    partial_success: bool | None = None
    """None takes the setting."""
    job_timeout: float | None = None
    idle_timeout: float | None = None
    forks: int = 0
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    passes_are_events: bool = True
    """Whether an event is recorded for a node that passes."""
    any_vars: bool = True
    """Whether requests may give vars that are not declared."""
    vars: tuple[VarSpec, ...] = ()
    rolls_back_batch: bool = False
    """Whether a rollback runs on all nodes of a batch in which one failed."""
    rolls_back_failures: bool = True
    rolls_back_stops: bool = True

    @property
    def on_nodes(self) -> bool:
        """Whether the action runs on nodes, not on addresses."""
        return self.transition is not None

    @property
    def enters_cluster(self) -> bool:
        """Whether the action makes nodes part of the cluster."""
        transition = self.transition
        return transition is not None and transition.success is Status.ALLOCATED and not self.stays_in_cluster

    @property
    def stays_in_cluster(self) -> bool:
        """Whether the action runs on nodes of the cluster and keeps them in it."""
        transition = self.transition
        return transition is not None and transition.sources == {Status.ALLOCATED} and not self.leaves_cluster

    @property
    def leaves_cluster(self) -> bool:
        """Whether the action takes nodes out of the cluster."""
        return self.transition is not None and self.transition.success not in {Status.ALLOCATED, None}

    def with_terms(self, **terms: Any) -> "ActionSpec":
        """Return the action on other terms."""
        return replace(self, **terms)

    def required_steps(self, *, check: bool) -> tuple[StepSpec, ...]:
        """Return the steps that must pass.

        A check of a built-in action runs only the last one: the steps before it prepare it by changes, which a check
        does not make.
        """
        return self.steps[-1:] if check and not self.of_site else self.steps

    @property
    def rollback(self) -> StepSpec | None:
        """The step that rolls back others; None if the action has none."""
        return next((step.rollback for step in self.steps if step.rollback), None)

    def all_steps(self, *, check: bool = False) -> Iterator[StepSpec]:
        """Yield every step that a job with this action may run: rollbacks included, unless it is a check."""
        yielded = set()
        for step in self.required_steps(check=check):
            for each in (step, step.rollback):
                if each is not None and not (check and each is step.rollback) and each not in yielded:
                    yielded.add(each)
                    yield each


_CONFIGURE: Final = StepSpec(StepName.CONFIGURE, "configure_playbook")
_CLEANUP: Final = StepSpec(StepName.CLEANUP, "cleanup_playbook")
_CONFIGURE_OR_CLEAN_UP: Final = replace(_CONFIGURE, rollback=_CLEANUP)

ACTIONS: Final[Mapping[str, ActionSpec]] = {
    spec.name: spec
    for spec in (
        ActionSpec(
            Action.COMMISSION,
            summary="Commission nodes",
            description="Bring nodes into the cluster: run the configure playbook; if it fails, the cleanup playbook.",
            steps=(_CONFIGURE_OR_CLEAN_UP,),
            begun_event=EventName.COMMISSIONING,
            ended_event=EventName.COMMISSIONED,
            transition=Transition(
                frozenset({Status.UNALLOCATED, Status.DECOMMISSIONED}),
                running=Status.PROVISIONING,
                success=Status.ALLOCATED,
                failure=Status.UNALLOCATED,
            ),
            host_group=HostGroupUse.REQUIRED,
            suggestion="make it part of the cluster as {group}",
        ),
        ActionSpec(
            Action.UPDATE,
            summary="Update nodes",
            description="Run the cleanup and the configure playbook on nodes of the cluster; if the configure playbook "
            "fails, the cleanup playbook again.",
            steps=(_CLEANUP, _CONFIGURE_OR_CLEAN_UP),
            begun_event=EventName.UPDATING,
            ended_event=EventName.UPDATED,
            transition=Transition(
                frozenset({Status.ALLOCATED}),
                running=Status.MAINTENANCE,
                success=Status.ALLOCATED,
                failure=Status.UNALLOCATED,
            ),
            host_group=HostGroupUse.OPTIONAL,
            suggestion="configure it again",
        ),
        ActionSpec(
            Action.DECOMMISSION,
            summary="Decommission nodes",
            description="Take nodes out of the cluster: run the cleanup playbook.",
            steps=(_CLEANUP,),
            begun_event=EventName.DECOMMISSIONING,
            ended_event=EventName.DECOMMISSIONED,
            # An unallocated node may be decommissioned to clean up after a failed commission.
            transition=Transition(
                frozenset({Status.ALLOCATED, Status.UNALLOCATED}),
                running=Status.CANCELLED,
                success=Status.DECOMMISSIONED,
                failure=Status.DECOMMISSIONED,
            ),
            suggestion="take it out of the cluster",
        ),
        ActionSpec(
            Action.DISCOVER,
            summary="Discover nodes",
            description="Run the configure playbook on addresses that are not nodes yet, in the inventory group "
            "`cluster-node`.\n\nAddresses that pass become nodes, named by their host name and serial, unless "
            "`ansible.register_discovered` is off.",
            steps=(_CONFIGURE,),
            ended_event=EventName.DISCOVERED,
        ),
    )
}
"""Every action. The order is that in which `explain` suggests them."""

UNCHANGED: Final = Transition(frozenset(), running=None, success=None, failure=None)
"""The transition of an action that does not change the status of nodes."""

NODE_ACTIONS: Final = tuple(spec for spec in ACTIONS.values() if spec.on_nodes)
"""Actions that run on nodes."""
