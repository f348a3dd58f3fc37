"""Jobs: requests, jobs, their tasks and differences."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
)
from pydantic_core import PydanticCustomError

from clusterm.common.addresses import parse_place
from clusterm.common.batches import parse_share, parse_sizes
from clusterm.enums import JobStatus, Outcome, State, Status, TaskStatus
from clusterm.schemas.base import (
    ActionName,
    Choices,
    ExtraVars,
    HostGroup,
    Request,
    ResponseModel,
    Seconds,
    StepLabel,
    Timestamp,
    check_address,
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


def _parse_sizes(value: Any) -> Any:
    return None if value is None else _checked(parse_sizes, value)


def _parse_failures(value: Any) -> Any:
    return None if value is None else _checked(partial(parse_share, least=0), value)


def _checked(parse: Callable[[Any], Any], value: Any) -> Any:
    try:
        return parse(value)
    except ValueError as error:
        raise PydanticCustomError("share", "{message}", {"message": str(error)}) from None


_PERCENTAGE: Final = r"^[0-9]{1,3}%$"
_Size = Annotated[int, Field(ge=1, le=10**6)] | Annotated[str, Field(pattern=_PERCENTAGE)]
_Failures = Annotated[int, Field(ge=0, le=10**6)] | Annotated[str, Field(pattern=_PERCENTAGE)]


class JobTerms(Timeouts):
    """The terms on which a job runs: in its request, in its row, in a retry of it, and in responses.

    A new term is a field here, and a column of the same name.
    """

    check: bool = Field(
        default=False, description="Run ansible with `--check --diff`: report what would change, and change no node."
    )
    limit_batch: Annotated[_Size | list[_Size] | None, BeforeValidator(_parse_sizes)] = Field(
        default=None,
        description="Nodes per batch: a number, a percentage of the nodes of the job as `10%`, or a list of these, of "
        "which the last repeats. Percentages are rounded down, to 1 at least. The job stops at the first batch after "
        "which more than `max_failures` nodes have failed. Null: all nodes at once.",
        examples=[10, [1, "10%", "25%"]],
    )
    max_failures: Annotated[_Failures | None, BeforeValidator(_parse_failures)] = Field(
        default=None,
        description="How many nodes of the whole job may fail before it stops after a batch: a number, or a percentage "
        "of its nodes as `2%`, rounded down. More than 0 means that nodes pass although others fail, as with "
        "`manager.partial_success`. A job in which a node failed ends Errored in any case. Null: 0.",
        examples=["2%"],
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
    """A selection among the named nodes or, if no node is named, among all. Absent members do not restrict it."""

    status: Choices[Status] = Field(
        default_factory=list, description="Only nodes with one of these statuses.", examples=[["Allocated"]]
    )
    state: Choices[State] = Field(
        default_factory=list, description="Only nodes in one of these states.", examples=[["Discovered"]]
    )
    host_group: Choices[str] = Field(
        default_factory=list, description="Only nodes in one of these host groups.", examples=[["service-worker"]]
    )
    all: bool = Field(default=False, description="Select all nodes. Required if nothing else selects nodes.")

    @property
    def narrows(self) -> bool:
        """Whether the selection restricts the nodes."""
        return bool(self.status or self.state or self.host_group)


class NodesRequest(JobTerms, StartRequest):
    """Run an action on nodes."""

    nodes: Annotated[list[str], BeforeValidator(none_to_empty_list), AfterValidator(unique)] = Field(
        default_factory=list,
        description="Names or management addresses of nodes, or globs of names such as `rack1-*`, case-sensitive, with "
        "`*`, `?` and `[...]`. Duplicates count once. Each must be or match a node. At most 10,000, of them 100 globs.",
        examples=[["node1-4c4c4544"]],
    )
    select: Annotated[NodeSelection, BeforeValidator(none_to_empty_dict)] = Field(
        default_factory=NodeSelection,
        description="Selection among the named nodes or, if no node is named, among all. It is evaluated in the same "
        "transaction as the rules; a selection without nodes is an error.",
    )
    host_group: HostGroup = Field(
        default="",
        description="Required to commission; moves the nodes in an update; ignored otherwise.",
        examples=["service-master"],
    )
    confirm: int | None = Field(
        default=None,
        ge=0,
        description="The number of nodes that the sender expects. Another number is rejected (409). None is rejected, "
        "too, if the action has to be confirmed (428).",
        examples=[40],
    )


def _refuse_port(value: str) -> str:
    """Refuse an address with a port by what to do instead. The next validator refuses other invalid values."""
    try:
        port = parse_place(value).port
    except ValueError:
        port = None
    if port is not None:
        message = f"{value!r} is neither an IP address nor a host name: give the port as the extra var ansible_port"
        raise PydanticCustomError("address", "{message}", {"message": message})
    return value


class DiscoverRequest(Timeouts, StartRequest):
    """Run the configure playbook on addresses that are not nodes yet."""

    addrs: Annotated[
        list[Annotated[str, AfterValidator(_refuse_port), AfterValidator(check_address)]],
        BeforeValidator(expand_addresses),
        AfterValidator(unique),
    ] = Field(
        default_factory=list,
        description="IP addresses, host names, ranges as `10.0.0.10-20` or `10.0.0.10-10.0.0.20`, "
        "or networks as `10.0.0.0/24`. Another port than 22 is the extra var `ansible_port`.",
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
    """Retry a job."""

    failed_only: bool = Field(default=False, description="Only on the nodes that did not pass.", examples=[True])
    extra_vars: ExtraVars = Field(
        default_factory=dict,
        description="Vars in addition to those of the job, or in place of those of the same name.",
        examples=[{"version": "1.3"}],
    )
    queue: bool = Field(default=False, description="If other jobs keep the job from running now, let it wait.")


_SECONDS: Final[Any] = Field(
    default=None,
    description="Duration up to its end, or so far, in seconds; null if it has not begun. Setting the clock does not "
    "change it, unlike the difference of the times.",
)


class Provenance(ResponseModel):
    """Which playbooks a job runs: what was in their directory when it began, and with which ansible."""

    path: str = Field(description="The directory of the playbooks.", examples=["/etc/clusterm/playbooks"])
    digest: str | None = Field(
        description="SHA-256 of all files in it; equal for equal files. Null if it exceeds a bound, see `reason`."
    )
    files: int = Field(description="Number of files.")
    bytes: int = Field(description="Their size.")
    reason: str | None = Field(default=None, description="Why there is no digest.")
    unread: list[str] = Field(
        default_factory=list, description="Files and directories that could not be read: the first 20."
    )
    commit: str | None = Field(default=None, description="The git commit; null if the directory is not in one.")
    branch: str | None = Field(default=None, description="The git branch; null if none is checked out.")
    dirty: bool | None = Field(
        default=None, description="Whether files differ from the commit; null if this is not known."
    )
    changed: list[str] = Field(
        default_factory=list, description="Files that differ from the commit, or that git does not track: the first 20."
    )
    changed_before: list[str] = Field(
        default_factory=list,
        description="The steps before which files in the directory changed while the job ran.",
        examples=[["2 (configure)"]],
    )
    ansible: str | None = Field(
        default=None, description="Version of ansible-core; null if it is not known.", examples=["2.19.14"]
    )
    collections: dict[str, str] | None = Field(
        default=None, description="Versions of the collections, by name. Null in lists of jobs."
    )


class Step(ResponseModel):
    """One playbook run of a job."""

    name: StepLabel
    playbook: str
    batch: int | None = Field(default=None, description="Number of its batch, from 1; null for a job without batches.")
    attempt: int = Field(default=1, description="How often the step was begun on its nodes.")
    started_at: Timestamp | None
    finished_at: Timestamp | None
    seconds: float | None = _SECONDS
    exit_status: int | None = Field(description="Exit status of ansible-playbook; null if it did not exit by itself.")
    error: str | None
    first_line: int | None = Field(description="Number of its first log line.")


class Recap(ResponseModel):
    """Task counts of one node, as in ansible's PLAY RECAP."""

    ok: int = 0
    changed: int = 0
    failed: int = 0
    unreachable: int = 0
    skipped: int = 0
    rescued: int = 0
    ignored: int = 0


class Failure(ResponseModel):
    """Why a node failed in a step: a failed task, in most cases."""

    node: str
    step: StepLabel
    play: str | None
    task: str | None = Field(
        description="The task that failed on the node, or on another node if ansible then failed this node, too. Null "
        "if no play of the playbook is for the node."
    )
    message: str
    line: int | None = Field(description="Number of the log line that reports it.")

    @property
    def reason(self) -> str:
        """The task and its message, in one line."""
        message = " ".join(self.message.split())
        return f"{self.task}: {message}" if self.task else message


class BusyNode(ResponseModel):
    """A node that is running a task."""

    node: str
    task: str
    since: Timestamp | None


class JobProgress(ResponseModel):
    """The progress of a running job."""

    step: StepLabel
    play: str | None
    task: str | None = Field(description="The task that began last; null before the first task.")
    number: int = Field(default=0, description="How many tasks of the step have begun.")
    expected: int | None = Field(
        default=None, description="How many tasks the step had when it passed last; null if it never has."
    )
    failed: int = Field(default=0, description="How many nodes have failed in the step.")
    started_at: Timestamp | None
    busy: list[BusyNode] = Field(description="Nodes that are running a task, longest first.")


class Wait(ResponseModel):
    """Why a queued job waits."""

    place: int = Field(description="Place in the queue, from 1.")
    queued: int = Field(description="Number of jobs in the queue.")
    reason: str = Field(examples=["job 6 has not ended on node1-4c4c4544"])
    job: int | None = Field(description="Id of the job whose end it waits for; null if it waits for no certain one.")
    nodes: list[str] = Field(description="The nodes that both have.")


class TaskResult(ResponseModel):
    """The result of a task on a node."""

    node: str
    status: TaskStatus | None = Field(
        description="Null while the task runs on the node; stays null if the job was interrupted there."
    )
    retries: int = Field(description="Number of retries.")
    message: str | None = Field(description="Why it failed.")
    first_line: int | None = Field(description="Number of its first log line.")
    last_line: int | None = Field(description="Number of its last log line; lines of other nodes may lie between.")
    started_at: Timestamp | None
    finished_at: Timestamp | None


class Task(ResponseModel):
    """A task of a job."""

    number: int = Field(description="Position in the job.")
    step: StepLabel
    play: str | None
    task: str
    path: str | None = Field(description="File and line of the playbook or role.", examples=["/etc/site.yml:7"])
    started_at: Timestamp | None
    finished_at: Timestamp | None = Field(description="When it ended on the last node that has ended it.")
    results: list[TaskResult]


class GridTask(ResponseModel):
    """A task of a job, as a column of the grid."""

    number: int = Field(description="Position in the job, as in `Task`.")
    step: StepLabel
    play: str | None
    task: str
    started_at: Timestamp | None
    median_at: Timestamp | None = Field(description="When half of its nodes had ended it; null if none has.")
    finished_at: Timestamp | None = Field(description="When it ended on the last node that has ended it.")
    failed: int = Field(description="On how many nodes it failed.")


class JobGrid(ResponseModel):
    """The results of a job: a row of characters for each node, one for each task."""

    job: int = Field(description="Id of the job.", examples=[7])
    tasks: list[GridTask] = Field(description="The columns, in the order in which the tasks began.")
    nodes: list[str] = Field(description="The rows: nodes that failed, then the others, as in the request.")
    rows: list[str] = Field(
        description="The results of each node: `.` ok, `c` changed, `s` skipped, `F` failed, `U` unreachable, "
        "`i` ignored, `r` rescued, `l` cleared, `b` busy or interrupted, space: not run.",
        examples=[["..cF", "..c."]],
    )
    failed: int = Field(description="How many nodes failed a task, on all pages.")
    total: int = Field(description="Number of nodes on all pages.")
    next: str | None = Field(description="Value of `cursor` for the next page; null on the last page.")


class _JobHead(ResponseModel):
    """The members that come first when a job is printed."""

    id: int = Field(examples=[7])
    action: ActionName
    desc: str = Field(examples=["commission node1-4c4c4544 as service-master"])
    task: str = Field(description="The step that runs or ran last.", examples=["configure"])
    status: JobStatus
    error: str = Field(description="Why it did not end Complete; empty otherwise.")
    nodes: list[str] = Field(description="Names of its nodes; addresses for a discover job.")
    host_group: str
    extra_vars: dict[str, Any] = Field(description="As requested, secrets redacted.")


class Job(JobTerms, _JobHead):
    """A job."""

    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    seconds: float | None = _SECONDS
    requested_by: str
    retry_of: int | None = Field(default=None, description="Id of the job that this job retries.")
    trace_id: str | None = Field(
        default=None,
        description="Id of its trace; null if a version without traces has accepted it.",
        examples=["4bf92f3577b34da6a3ce929d0e0e4736"],
    )
    cancel_requested_at: Timestamp | None = Field(default=None, description="When a client requested to stop it.")
    cancel_requested_by: str | None = None
    lines: int = Field(description="Number of lines of its log, omitted lines included.")
    log_incomplete: bool = Field(
        default=False,
        description="Lines are missing or may be missing: the log was too large, the disk was full, retention has "
        "deleted them, or the job was interrupted before the end of its output was read.",
    )
    log_bytes: int | None = Field(
        default=None, description="Size of the log as `text/plain`; null until the job has ended."
    )
    log_sha256: str | None = Field(
        default=None, description="SHA-256 of the log as `text/plain`; null also while retention deletes the log."
    )
    steps: list[Step] = Field(default_factory=list)
    batches: list[int] = Field(
        default_factory=list, description="The sizes of its batches; empty without batches.", examples=[[1, 4, 10]]
    )
    partial_success: bool = Field(default=False, description="Nodes pass even if other nodes of the job fail.")
    outcomes: dict[str, Outcome] = Field(
        default_factory=dict,
        description="What the job did to each node; empty until it has ended. `passed`: every step passed. `failed`: a "
        "step failed on it, or was stopped. `undone`: every step passed, but another node failed, which fails "
        "all nodes unless `partial_success` is set. `skipped`: the job ended before its first step. `not reached`: the "
        "job ended before the batch of the node.",
    )
    recap: dict[str, Recap] = Field(default_factory=dict)
    current: JobProgress | None = Field(default=None, description="Its progress, while it runs.")
    wait: Wait | None = Field(default=None, description="Why it waits, while it is queued.")
    failures: list[Failure] = Field(
        default_factory=list, description="Why nodes failed; failures that were handled are not among them."
    )
    warnings: list[str] = Field(
        default_factory=list, description="What may make the job's results incomplete or wrong; empty normally."
    )
    provenance: Provenance | None = Field(
        default=None,
        description="Which playbooks it runs; null until it runs, and for jobs from before this was recorded.",
    )
    logs: list[str] | None = Field(default=None, description="Its log lines, if requested.")


class ResultChange(ResponseModel):
    """A result that differs from that in an earlier job."""

    node: str
    step: StepLabel
    play: str | None
    task: str
    before: TaskStatus | None = Field(description="Null if the task did not run on the node.")
    after: TaskStatus | None = Field(description="Null while the task runs.")
    message: str | None
    line: int | None = Field(description="Number of the log line that reports it.")


class DurationChange(ResponseModel):
    """A task that took longer than in an earlier job."""

    step: StepLabel
    play: str | None
    task: str
    before: float = Field(description="Seconds.")
    after: float = Field(description="Seconds.")


class PlaybooksDiff(ResponseModel):
    """The differences between the playbooks of two jobs."""

    before: Provenance | None
    after: Provenance | None
    added: list[str] = Field(default_factory=list, description="Files that only the later job has.")
    changed: list[str] = Field(default_factory=list, description="Files with other content.")
    removed: list[str] = Field(default_factory=list, description="Files that only the earlier job has.")
    omitted: int = Field(default=0, description="How many more files differ: at most 500 are listed.")
    reason: str | None = Field(default=None, description="Why the files cannot be compared; null if they were.")


class ValueChange(ResponseModel):
    """A value that differs between two jobs."""

    name: str
    before: Any = Field(description="Null if the earlier job does not have it.")
    after: Any = Field(description="Null if the later job does not have it.")


class JobDiff(ResponseModel):
    """The differences between two jobs."""

    before: int = Field(description="Id of the earlier job.", examples=[6])
    after: int = Field(description="Id of the later job.", examples=[7])
    failing: list[ResultChange] = Field(description="Tasks that fail on a node and did not before.")
    changed: list[ResultChange] = Field(description="Tasks that change a node and did not before.")
    omitted: int = Field(
        default=0, description="How many more of either there are: at most 5000 of each are listed, the first ones."
    )
    slower: list[DurationChange] = Field(
        description="Tasks that take more than twice as long, and at least a second more, summed over their runs."
    )
    playbooks: PlaybooksDiff | None = Field(default=None, description="What changed in the playbooks.")
    vars: list[ValueChange] = Field(
        default_factory=list, description="Extra vars of the requests that differ; secrets are masked."
    )
    versions: list[ValueChange] = Field(
        default_factory=list, description="Versions that differ: of ansible-core, and of collections by name."
    )


class JobSummary(ResponseModel):
    """A job in short."""

    id: int = Field(examples=[7])
    desc: str = Field(examples=["commission node1-4c4c4544 as service-master"])
    status: JobStatus
    error: str
    requested_by: str
    started_at: Timestamp | None
    finished_at: Timestamp | None
    seconds: float | None = _SECONDS
    current: JobProgress | None = Field(
        default=None, description="Its progress, while it runs, with at most 5 of its busy nodes."
    )
