"""Actions: what may be run on nodes."""

from typing import Any

from pydantic import Field

from clusterm.enums import CheckUse, State, Status, TokenRole, VarType
from clusterm.schemas.base import ActionName, ResponseModel


class ActionVarInfo(ResponseModel):
    """A var that a request may give."""

    name: str = Field(examples=["release"])
    type: VarType
    required: bool
    default: Any = Field(description="Null: none.")
    pattern: str = Field(description="Regular expression that the whole text has to match; empty for any.")
    secret: bool
    choices: list[Any]
    min: float | None = Field(description="Least value, length or number of items.")
    max: float | None = Field(description="Greatest value, length or number of items.")
    description: str


class ActionStepInfo(ResponseModel):
    """A step of an action."""

    name: str = Field(examples=["patch"])
    playbook: str = Field(examples=["patch.yml"])
    tags: list[str]
    skip_tags: list[str]
    timeout: float = Field(description="Seconds; 0 for no limit.")
    retries: int
    delay: float = Field(description="Seconds before a repetition.")
    settle: float = Field(description="Seconds before the first attempt.")


class ActionInfo(ResponseModel):
    """An action, as the service would run it now."""

    name: ActionName = Field(examples=["patch"])
    description: str = Field(examples=["Install security updates"])
    built_in: bool
    from_status: list[Status] = Field(description="Statuses from which nodes may start.")
    while_status: Status | None = Field(description="Status of nodes while it runs; null for that from before.")
    on_success: Status | None = Field(description="Status of nodes that pass; null for that from before.")
    on_failure: Status | None = Field(description="Status of nodes that fail; null for that from before.")
    states: list[State] = Field(description="States in which nodes have to be.")
    host_groups: list[str] = Field(description="The host groups of its nodes; empty for any.")
    needs_host_group: bool = Field(description="Whether a request has to name the host group that the nodes join.")
    steps: list[ActionStepInfo]
    rollback: ActionStepInfo | None
    batch: list[int | str] = Field(description="Sizes of batches; empty for all nodes at once.", examples=[[1, "10%"]])
    max_failures: int | str | None = Field(examples=["2%"])
    min_masters: int
    role: TokenRole = Field(description="The role that a request needs.")
    confirm: bool | int = Field(
        description="Whether the number of nodes has to be confirmed, or the number above which it has to be."
    )
    check: CheckUse
    max_jobs: int = Field(description="How many of its jobs may run at a time; 0 for no limit.")
    any_vars: bool = Field(description="Whether requests may give vars that are not declared.")
    vars: list[ActionVarInfo]
    ready: bool = Field(description="Whether its playbooks can be run.")
    problem: str | None = Field(description="Why they cannot be run.")
    allowed: bool = Field(description="Whether the role of the request's token suffices.")


class ActionList(ResponseModel):
    """All actions on nodes."""

    items: list[ActionInfo]
