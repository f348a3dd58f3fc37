"""Jobs: requests, jobs, their tasks and differences."""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
)

from clusterm.enums import Action, JobStatus, Result, State, Status, StepName, TaskStatus
from clusterm.schemas.base import (
    Address,
    Choices,
    ExtraVars,
    HostGroup,
    Request,
    ResponseModel,
    Seconds,
    Timestamp,
    expand_addresses,
    none_to_empty_dict,
    none_to_empty_list,
    unique,
)


class Timeouts(BaseModel):
    """When a job is stopped."""

    job_timeout: Seconds | None = Field(
        default=None,
        description="Seconds after which the job is stopped; 0 disables the limit. Null: as configured.",
        examples=[2700],
    )
    idle_timeout: Seconds | None = Field(
        default=None,
        description="Seconds without output after which the job is stopped; 0 disables the limit. Null: as configured.",
        examples=[600],
    )


class JobTerms(Timeouts):
    """The terms on which a job runs: in its request, in its row, in a retry of it, and in responses.

    A new term is a field here, and a column of the same name.
    """

    check: bool = Field(
        default=False, description="Run ansible with `--check --diff`: report what would change, and change no node."
    )
    limit_batch: int | None = Field(
        default=None,
        ge=1,
        le=10**6,
        description="Nodes per batch; the job stops at the first batch that fails. Null: all nodes at once.",
        examples=[10],
    )

    @classmethod
    def of(cls, source: object) -> "JobTerms":
        """Return the terms that a request, a row or a response has as attributes; defaults for the others."""
        values = {name: getattr(source, name, field.default) for name, field in cls.model_fields.items()}
        return cls.model_construct(**values)


class StartRequest(Request):
    """Members of every request for a job."""

    extra_vars: ExtraVars = Field(
        default_factory=dict,
        description="Extra vars for ansible: a JSON object, or a string holding one.",
        examples=[{"package_version": "1.2"}],
    )
    queue: bool = Field(default=False, description="If other jobs keep the job from running now, let it wait.")


class NodeSelection(Request):
    """Which nodes are meant, of those that are named or, if none is, of all. Members that are not given ask nothing."""

    status: Choices[Status] = Field(
        default_factory=list, description="Only nodes with one of these statuses.", examples=[["Allocated"]]
    )
    state: Choices[State] = Field(
        default_factory=list, description="Only nodes in one of these states.", examples=[["Discovered"]]
    )
    host_group: Choices[str] = Field(
        default_factory=list, description="Only nodes in one of these host groups.", examples=[["service-worker"]]
    )
    all: bool = Field(default=False, description="All nodes. Needed where nothing else says which.")

    @property
    def narrows(self) -> bool:
        """Whether it leaves out nodes."""
        return bool(self.status or self.state or self.host_group)


class NodesRequest(JobTerms, StartRequest):
    """Commission, decommission or update nodes."""

    nodes: Annotated[list[str], BeforeValidator(none_to_empty_list), AfterValidator(unique)] = Field(
        default_factory=list,
        description="Names or management addresses of the nodes, or globs of names as `rack1-*`: `*`, `?` and `[...]`, "
        "case counts. One that comes twice counts once. Each must be or match a node.",
        examples=[["node1-4c4c4544"]],
    )
    select: Annotated[NodeSelection, BeforeValidator(none_to_empty_dict)] = Field(
        default_factory=NodeSelection,
        description="Which of the named nodes to take or, where none is named, which of all. It is decided together "
        "with the rules; matching no node is an error.",
    )
    host_group: HostGroup = Field(
        default="",
        description="Needed to commission; changes the group in an update; not used otherwise.",
        examples=["service-master"],
    )


class DiscoverRequest(Timeouts, StartRequest):
    """Run the configure playbook on addresses that are not nodes yet."""

    addrs: Annotated[list[Address], BeforeValidator(expand_addresses), AfterValidator(unique)] = Field(
        default_factory=list,
        description="IP addresses, host names, ranges as `10.0.0.10-20` or `10.0.0.10-10.0.0.20`, "
        "or networks as `10.0.0.0/24`.",
        examples=[["192.168.2.11"]],
    )


class CancelRequest(Request):
    """Stop a job."""

    cleanup: bool = Field(
        default=True,
        description="Run the cleanup playbook after a configure playbook that was stopped.",
        examples=[True],
    )


class RetryRequest(Request):
    """Do a job once more."""

    failed_only: bool = Field(default=False, description="Only on the nodes that failed.", examples=[True])
    queue: bool = Field(default=False, description="If other jobs keep the job from running now, let it wait.")


class Step(ResponseModel):
    """One playbook run of a job."""

    name: StepName
    playbook: str
    batch: int | None = Field(default=None, description="Which batch it ran on, from 1; null for all nodes at once.")
    started_at: Timestamp | None
    finished_at: Timestamp | None
    exit_status: int | None = Field(description="Of ansible-playbook; null if it did not run to its end.")
    error: str | None
    first_line: int | None = Field(description="Number of its first log line.")


class Recap(ResponseModel):
    """How many of a job's tasks ended how on one node, as in ansible's PLAY RECAP."""

    ok: int = 0
    changed: int = 0
    failed: int = 0
    unreachable: int = 0
    skipped: int = 0
    rescued: int = 0
    ignored: int = 0


class Failure(ResponseModel):
    """The task that a node failed at."""

    node: str
    step: StepName
    play: str | None
    task: str | None
    message: str
    line: int | None = Field(description="Number of the log line that tells of it.")

    @property
    def reason(self) -> str:
        """The task and its message, in one line."""
        message = " ".join(self.message.split())
        return f"{self.task}: {message}" if self.task else message


class BusyNode(ResponseModel):
    """A node that is at a task."""

    node: str
    task: str
    since: Timestamp | None


class JobProgress(ResponseModel):
    """What a running job is at."""

    step: StepName
    play: str | None
    task: str | None = Field(description="The task that began last; null before the first one.")
    started_at: Timestamp | None
    busy: list[BusyNode] = Field(description="Nodes that have begun with a task and not ended it, the longest first.")


class TaskResult(ResponseModel):
    """How a task ended on a node."""

    node: str
    status: TaskStatus | None = Field(
        description="Null while the node is busy with the task; stays null if the job was cut off there."
    )
    retries: int = Field(description="How often it was tried again.")
    message: str | None = Field(description="Why it failed.")
    first_line: int | None = Field(description="Number of its first log line.")
    last_line: int | None = Field(description="Number of its last one; other nodes' lines may lie between.")
    started_at: Timestamp | None
    finished_at: Timestamp | None


class Task(ResponseModel):
    """A task, as a job ran it."""

    number: int = Field(description="Gives the order.")
    step: StepName
    play: str | None
    task: str
    path: str | None = Field(description="File and line of the playbook or role.", examples=["/etc/site.yml:7"])
    started_at: Timestamp | None
    finished_at: Timestamp | None = Field(description="When it ended on the last node so far.")
    results: list[TaskResult]


class _JobHead(ResponseModel):
    """The members that come first when a job is printed."""

    id: int = Field(examples=[7])
    action: Action
    desc: str = Field(examples=["commission node1-4c4c4544 as service-master"])
    task: str = Field(description="The step that runs or ran last.", examples=["configure"])
    status: JobStatus
    error: str = Field(description="Why it did not end Complete; else empty.")
    nodes: list[str] = Field(description="Names of its nodes; of a discover job, its addresses.")
    host_group: str
    extra_vars: dict[str, Any] = Field(description="As requested, secrets redacted.")


class Job(JobTerms, _JobHead):
    """A job."""

    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    requested_by: str
    retry_of: int | None = Field(default=None, description="The job that this one does once more.")
    cancel_requested_at: Timestamp | None = Field(default=None, description="When somebody asked to stop it.")
    cancel_requested_by: str | None = None
    lines: int = Field(description="How many lines its log has, those included that are left out.")
    log_incomplete: bool = Field(
        default=False, description="Lines are missing: the log was too large, the disk was full, or its time had come."
    )
    log_bytes: int | None = Field(default=None, description="Of an ended job, how large its log is as `text/plain`.")
    log_sha256: str | None = Field(
        default=None, description="The SHA-256 of that. Null also while the log is being deleted, its time being over."
    )
    steps: list[Step] = Field(default_factory=list)
    partial_success: bool = Field(default=False, description="Nodes may pass though others of the job fail.")
    results: dict[str, Result] = Field(
        default_factory=dict,
        description="Once the job has ended, how each node did by itself, whatever became of the others.",
    )
    recap: dict[str, Recap] = Field(default_factory=dict)
    current: JobProgress | None = Field(default=None, description="What it is at, while it runs.")
    failures: list[Failure] = Field(default_factory=list)
    logs: list[str] | None = Field(default=None, description="Its log lines, where asked for.")


class ResultChange(ResponseModel):
    """A result that is not what it was in an earlier job."""

    node: str
    step: StepName
    play: str | None
    task: str
    before: TaskStatus | None = Field(description="Null if the node did not come to that task.")
    after: TaskStatus | None = Field(description="Null while the node is busy with it.")
    message: str | None
    line: int | None = Field(description="Number of the log line that tells of it.")


class DurationChange(ResponseModel):
    """A task that takes longer than in an earlier job."""

    step: StepName
    play: str | None
    task: str
    before: float = Field(description="Seconds.")
    after: float = Field(description="Seconds.")


class JobDiff(ResponseModel):
    """What is different in a job from an earlier one."""

    before: int = Field(description="Id of the earlier job.", examples=[6])
    after: int = Field(description="Id of the later one.", examples=[7])
    failing: list[ResultChange] = Field(description="Tasks that fail on a node, and did not.")
    changed: list[ResultChange] = Field(description="Tasks that change something on a node, and did not.")
    slower: list[DurationChange] = Field(
        description="Tasks that take more than twice as long, and a second at least, in all their runs together."
    )


class JobSummary(ResponseModel):
    """What matters of a job, in short."""

    id: int = Field(examples=[7])
    desc: str = Field(examples=["commission node1-4c4c4544 as service-master"])
    status: JobStatus
    error: str
    requested_by: str
    started_at: Timestamp | None
    finished_at: Timestamp | None
