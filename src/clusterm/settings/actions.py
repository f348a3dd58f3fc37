"""Section `actions`: the actions of the site, and the terms of the built-in ones."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from clusterm.common.action_vars import VarProblem, check_value
from clusterm.common.actions import (
    ACTIONS,
    NAME_PATTERN,
    ActionSpec,
    HostGroupUse,
    StepSpec,
    Transition,
    VarSpec,
)
from clusterm.common.batches import MAX_SIZES, Share, parse_share, parse_sizes
from clusterm.common.durations import parse_duration
from clusterm.enums import CheckUse, EventName, State, Status, TokenRole, VarType
from clusterm.schemas.request_vars import refusals
from clusterm.settings.base import Section

HEALTH: Final = "health"
ROLLBACK: Final = "rollback"
_RESERVED_ACTIONS: Final = frozenset({"drift"})
_OF_BUILT_IN: Final = frozenset({
    "role", "confirm", "batch", "max_failures", "min_masters", "job_timeout", "idle_timeout", "forks", "check", "vars",
    "extra_vars",
})  # fmt: skip
"""What may be configured of a built-in action."""
_MAX_PATTERN: Final = 500
_VAR_NAME: Final = re.compile(r"[A-Za-z_]\w{0,127}", re.ASCII)


def _parse_seconds(value: Any) -> Any:
    try:
        return parse_duration(value).total_seconds() if isinstance(value, str) else value
    except (ValueError, OverflowError):
        raise ValueError(f"{value[:40]!r} is no duration: give seconds, or a text as 90s, 30m or 2h") from None


def _check_playbook(value: str) -> str:
    if not value or value.startswith("/") or ".." in value.split("/"):
        raise ValueError(f"{value[:80]!r} is not the path of a playbook inside of ansible.playbook_location")
    return value


def _parse_batch(value: Any) -> Any:
    return parse_sizes(value if isinstance(value, list) else [value]) if value not in ([], None) else []


def _parse_failures(value: Any) -> Any:
    return None if value is None else parse_share(value, least=0)


_Seconds = Annotated[float, BeforeValidator(_parse_seconds), Field(ge=0, le=10**9, allow_inf_nan=False)]
_Playbook = Annotated[str, Field(max_length=1024), AfterValidator(_check_playbook)]
_Tags = list[Annotated[str, Field(pattern=r"^[\w.:-]{1,64}$")]]
_Name = Annotated[str, Field(pattern=NAME_PATTERN)]
_Same = Literal["same"]


class ActionStep(Section):
    """A playbook run of an action."""

    name: _Name = Field(description="Name of the step, unique in the action.", examples=["drain"])
    playbook: _Playbook = Field(
        description="The playbook, relative to `ansible.playbook_location`.", examples=["drain.yml"]
    )
    tags: _Tags = Field(default=[], description="Run only tasks with one of these tags, besides those of the action.")
    skip_tags: _Tags = Field(default=[], description="Leave out tasks with one of these tags.")
    timeout: _Seconds = Field(
        default=0, description="Seconds, or a text as `45m`, after which the job is stopped. 0 disables the limit."
    )
    retries: int = Field(
        default=0, ge=0, le=100, description="How often it is repeated on the nodes that have failed it."
    )
    delay: _Seconds = Field(default=0, description="Seconds, or a text as `30s`, before a repetition.")


class ActionHealth(Section):
    """The last step of an action, which shows whether the nodes work."""

    playbook: _Playbook = Field(description="The playbook, relative to `ansible.playbook_location`.")
    settle: _Seconds = Field(default=0, description="Seconds, or a text as `1m`, before its first attempt.")
    retries: int = Field(
        default=0, ge=0, le=100, description="How often it is repeated on the nodes that have failed it."
    )
    delay: _Seconds = Field(default=0, description="Seconds, or a text as `30s`, before a repetition.")


class ActionRollback(Section):
    """The playbook that runs after a failure."""

    playbook: _Playbook = Field(description="The playbook, relative to `ansible.playbook_location`.")
    on: list[Literal["failed", "stopped"]] = Field(
        default=["failed", "stopped"], min_length=1, description="After which ends of a step it runs."
    )
    nodes: Literal["failed", "batch"] = Field(
        default="failed", description="On which nodes: the failed ones, or all of the batch."
    )


class ActionVar(Section):
    """A var that requests for an action may give."""

    type: VarType = Field(default=VarType.STRING, description="Its type.")
    required: bool = Field(
        default=False, description="Whether the request, the globals or `ansible.extra_variables` have to give it."
    )
    default: Any = Field(default=None, description="Its value if nothing else gives it. Null: none.")
    pattern: str = Field(
        default="", max_length=_MAX_PATTERN, description="Regular expression that the whole text has to match."
    )
    secret: bool = Field(default=False, description="Whether it is masked and encrypted whatever its name.")
    choices: list[str | int | float | bool] = Field(
        default=[], max_length=1000, description="The possible values of a var of the type `choice`."
    )
    min: float | None = Field(default=None, description="Least value, length or number of items.")
    max: float | None = Field(default=None, description="Greatest value, length or number of items.")
    description: str = Field(default="", max_length=1000, description="Its purpose, for people.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.required and self.default is not None:
            raise ValueError("a required var has no default")
        if self.secret and self.default is not None:
            raise ValueError("a secret var has no default, which would be in the clear")
        if (self.type is VarType.CHOICE) != bool(self.choices):
            raise ValueError("choices belong to the type choice, which needs them")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"its pattern is not a regular expression: {error}") from None
        if self.default is not None:
            try:
                check_value(self.spec("default"), self.default)
            except VarProblem as problem:
                raise ValueError(f"its default is not valid: {problem}") from None
        return self

    def spec(self, name: str) -> VarSpec:
        """Return the declaration for the action."""
        values = self.model_dump()
        return VarSpec(name, **values | {"choices": tuple(self.choices)})


class ActionSettings(Section):
    """An action of the site, or the terms of a built-in one. A job keeps those with which it was accepted."""

    model_config = ConfigDict(serialize_by_alias=True)

    description: str = Field(default="", max_length=1000, description="What it does, for people.")
    from_: list[Literal[Status.UNALLOCATED, Status.ALLOCATED, Status.DECOMMISSIONED]] = Field(
        default=[Status.ALLOCATED], alias="from", min_length=1, description="Statuses that nodes may have before it."
    )
    while_: Literal[Status.MAINTENANCE, Status.PROVISIONING, Status.CANCELLED] | _Same = Field(
        default=Status.MAINTENANCE, alias="while", description="Status of nodes while it runs; `same` keeps theirs."
    )
    on_success: Literal[Status.UNALLOCATED, Status.ALLOCATED, Status.DECOMMISSIONED] | _Same = Field(
        default="same", description="Status of nodes that pass; `same` is that from before."
    )
    on_failure: Literal[Status.UNALLOCATED, Status.ALLOCATED, Status.DECOMMISSIONED] | _Same = Field(
        default="same", description="Status of nodes that fail."
    )
    states: list[State] = Field(
        default=[State.DISCOVERED], min_length=1, description="States in which nodes have to be."
    )
    host_groups: list[str] = Field(default=[], description="Only nodes in these host groups; empty: any.")
    steps: list[ActionStep] = Field(default=[], max_length=50, description="The playbook runs, in order.")
    health: ActionHealth | None = Field(
        default=None, description="The last step, named `health`, which shows whether the nodes work. Null: none."
    )
    rollback: ActionRollback | None = Field(
        default=None, description="The playbook that runs on nodes that failed. Null: none."
    )
    batch: Annotated[list[Share], BeforeValidator(_parse_batch)] = Field(
        default=[],
        max_length=MAX_SIZES,
        description="Sizes of batches: numbers, or percentages as `10%`; the last repeats. Empty: all nodes at once. "
        "Requests may give others.",
    )
    max_failures: Annotated[Share | None, BeforeValidator(_parse_failures)] = Field(
        default=None,
        description="How many nodes of a job may fail before it stops after a batch, as a number or a percentage. "
        "Requests may give another number. Null: 0.",
    )
    min_masters: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="So many masters that are Allocated and Discovered stay outside of each batch; masters are spread "
        "over the batches.",
    )
    role: Literal[TokenRole.OPERATOR, TokenRole.ADMIN] = Field(
        default=TokenRole.OPERATOR, description="The role that a request needs."
    )
    confirm: bool | Annotated[int, Field(ge=0)] = Field(
        default=False,
        description="Whether a request has to confirm how many nodes it means. A number: only for more nodes than it.",
    )
    check: CheckUse = Field(default=CheckUse.ALLOWED, description="Whether it may, or always does, run in check mode.")
    max_jobs: int = Field(default=0, ge=0, description="How many of its jobs may run at a time. 0: no limit.")
    partial_success: bool | None = Field(
        default=None, description="Whether nodes pass although others fail. Null: `manager.partial_success`."
    )
    job_timeout: _Seconds | None = Field(default=None, description="As `ansible.job_timeout`, also as a text as `6h`.")
    idle_timeout: _Seconds | None = Field(default=None, description="As `ansible.idle_timeout`.")
    tags: _Tags = Field(default=[], description="Run only tasks with one of these tags.")
    skip_tags: _Tags = Field(default=[], description="Leave out tasks with one of these tags.")
    forks: int = Field(default=0, ge=0, le=1000, description="As `ansible.forks`. 0: that setting.")
    timeline: Literal["all", "failures"] = Field(
        default="all", description="Whether the timeline shows also nodes that pass, or failures only."
    )
    extra_vars: Literal["declared", "any"] | None = Field(
        default=None,
        description="Whether requests may give only declared vars, or any. Null: declared for an action of the site, "
        "any for a built-in one.",
    )
    vars: dict[str, ActionVar] = Field(default={}, description="The vars that requests may give, by name.")

    @field_validator("vars")
    @classmethod
    def _check_names(cls, value: dict[str, ActionVar]) -> dict[str, ActionVar]:
        for name in value:
            if not _VAR_NAME.fullmatch(name):
                raise ValueError(f"{name[:80]!r} cannot be the name of a var")
            if found := refusals({name: None}, ()):
                raise ValueError(f"{found[name].partition(' is not in ')[0]} cannot be a declared var")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [step.name for step in self.steps]
        if self.health:
            names.append(HEALTH)
        if len(names) != len(set(names)):
            raise ValueError("the names of its steps are not unique")
        if ROLLBACK in names:
            raise ValueError(f"{ROLLBACK!r} is not a name for a step")
        if self.while_ == "same" and (self.on_success, self.on_failure) != ("same", "same"):
            raise ValueError('"while" can be "same" only if on_success and on_failure are')
        return self

    def check_name(self, name: str) -> None:
        """Check that a section may have this name.

        Raises:
            ValueError: it may not, or it lacks or has settings that such an action needs or cannot have.
        """
        if name in ACTIONS:
            fixed = [each for each in self.model_fields_set if each not in _OF_BUILT_IN]
            if fixed:
                raise ValueError(f"{name}: the lifecycle of {name} is fixed: {', '.join(map(_key, sorted(fixed)))}")
            if not ACTIONS[name].on_nodes:
                raise ValueError(f"{name}: only actions on nodes can be configured")
            return
        if not re.fullmatch(NAME_PATTERN, name) or name in _RESERVED_ACTIONS:
            raise ValueError(f"{name[:80]!r} cannot be the name of an action")
        if not self.steps and not self.health:
            raise ValueError(f"{name}: it needs at least one step")

    def spec(self, name: str) -> ActionSpec:
        """Return the definition of the action."""
        given: dict[str, Any] = {
            "batch": tuple(self.batch),
            "max_failures": self.max_failures,
            "min_masters": self.min_masters,
            "role": self.role,
            "confirm": self.confirm,
            "check": self.check,
            "job_timeout": self.job_timeout,
            "idle_timeout": self.idle_timeout,
            "forks": self.forks,
            "vars": tuple(var.spec(each) for each, var in self.vars.items()),
        }
        if built_in := ACTIONS.get(name):
            return built_in.with_terms(**given, any_vars=self.extra_vars != "declared")
        sources = frozenset(Status(status) for status in self.from_)
        passes = _status(self.on_success)
        enters = passes is Status.ALLOCATED and sources != {Status.ALLOCATED}
        back = self.rollback
        undo = StepSpec(ROLLBACK, playbook=back.playbook) if back else None
        return ActionSpec(
            name,
            summary=self.description,
            description=self.description,
            steps=tuple(self._steps(undo)),
            begun_event=EventName.ACTION_BEGAN,
            ended_event=EventName.ACTION_ENDED,
            transition=Transition(sources, _status(self.while_), passes, _status(self.on_failure)),
            host_group=HostGroupUse.REQUIRED if enters else HostGroupUse.IGNORED,
            suggestion=self.description or f"run {name} on it",
            of_site=True,
            states=frozenset(self.states),
            host_groups=tuple(self.host_groups),
            max_jobs=self.max_jobs,
            partial_success=self.partial_success,
            tags=tuple(self.tags),
            skip_tags=tuple(self.skip_tags),
            passes_are_events=self.timeline == "all",
            any_vars=self.extra_vars == "any",
            rolls_back_batch=back is not None and back.nodes == "batch",
            rolls_back_failures=back is None or "failed" in back.on,
            rolls_back_stops=back is None or "stopped" in back.on,
            **given,
        )

    def _steps(self, undo: StepSpec | None) -> list[StepSpec]:
        steps = [
            StepSpec(
                step.name,
                playbook=step.playbook,
                rollback=undo,
                tags=tuple(step.tags),
                skip_tags=tuple(step.skip_tags),
                timeout=step.timeout,
                retries=step.retries,
                delay=step.delay,
            )
            for step in self.steps
        ]
        if health := self.health:
            steps.append(
                StepSpec(
                    HEALTH,
                    playbook=health.playbook,
                    rollback=undo,
                    retries=health.retries,
                    delay=health.delay,
                    settle=health.settle,
                )
            )
        return steps


def definitions(configured: Mapping[str, ActionSettings]) -> dict[str, ActionSpec]:
    """Return the definitions of all actions by name, the built-in ones first."""
    built_in = {name: configured[name].spec(name) if name in configured else spec for name, spec in ACTIONS.items()}
    return built_in | {name: each.spec(name) for name, each in configured.items() if name not in ACTIONS}


def _status(value: str) -> Status | None:
    return None if value == "same" else Status(value)


def _key(name: str) -> str:
    return name.removesuffix("_")
