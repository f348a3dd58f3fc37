"""What goes over the wire: the requests and answers of the REST API, shared by service and client.

The shapes of Node and Job, the phrases of errors and the tolerance of requests follow contiv/cluster (2016), so that
its client and scripts keep working. Answers ignore members they do not know, so that an older client can read a
newer service; requests refuse them, so that a misspelt member cannot pass for one not given.
"""

import ipaddress
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from clusterm import ssh_keys
from clusterm.addresses import expand
from clusterm.states import Action, Cause, EventName, JobStatus, Result, State, Status, StepName, TaskStatus

T = TypeVar("T")

NAME_PATTERN: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"
"""A label or a serial: what can stand in a node's name without a meaning to ansible's inventory, a path or a shell."""

HOSTNAME_PATTERN: Final = r"(?:{label}\.)*{label}\.?".format(label=r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
"""A host name after RFC 1123, section 2.1; it has 253 characters at the most."""

MAX_NESTING: Final = 100
"""Levels of objects and arrays in extra vars."""

_CONTIV_MEMBERS: Final = frozenset({"nodes", "addrs", "host_group", "extra_vars", "job", "monitor_event", "config"})


def format_time(at: datetime) -> str:
    """Write a time as RFC 3339 in UTC with microseconds, as `2026-11-22T07:31:02.000001Z`."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def check_address(value: str) -> str:
    """Return the address unchanged if it is an IP address or a host name.

    Raises:
        ValueError: it is neither.
    """
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        named = re.fullmatch(HOSTNAME_PATTERN, value) is not None and not re.fullmatch(r"[0-9.]+", value)
        valid = named and len(value) <= 253
    else:
        valid = "%" not in str(address)  # a zone means something on one machine only, and may be any text
    if not valid:
        message = f"{value[:80]!r} is neither an IP address nor a host name"
        raise PydanticCustomError("address", "{message}", {"message": message})
    return value


def check_name(value: str) -> str:
    """Return the label or serial unchanged if a node may be called so.

    Raises:
        ValueError: it may not.
    """
    if not re.fullmatch(NAME_PATTERN, value):
        message = (
            f"{value[:80]!r} is no valid name: use up to 128 letters, digits, dots, underscores and dashes, "
            "with a letter or digit at both ends"
        )
        raise PydanticCustomError("name", "{message}", {"message": message})
    return value


def _parse_extra_vars(value: Any) -> Any:
    """Turn a string holding a JSON object into that object: contiv's client sends strings."""
    if value is None or value == "":
        return {}
    try:
        parsed = json.loads(value, parse_constant=_refuse_constant) if isinstance(value, str) else value
        if not isinstance(parsed, dict):
            raise TypeError(f"a JSON object is needed, not {_JSON_TYPES.get(type(parsed), 'this')}")  # noqa: TRY301
        json.dumps(parsed, allow_nan=False, ensure_ascii=False).encode()
        if _is_deeper(parsed, MAX_NESTING):
            raise ValueError(f"it is nested more than {MAX_NESTING} levels deep")  # noqa: TRY301
    except (ValueError, TypeError, RecursionError) as error:
        message = f'"extra_vars" should be a valid json. Error: {error}'
        raise PydanticCustomError("extra_vars", "{message}", {"message": message}) from None
    return parsed


_JSON_TYPES: Final[dict[type, str]] = {
    list: "an array", str: "a string", int: "a number", float: "a number", bool: "a boolean", type(None): "null",
}  # fmt: skip


def _is_deeper(value: Any, levels: int) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return items is not None and (levels == 0 or any(_is_deeper(item, levels - 1) for item in items))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _unique(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _expand(value: Any) -> Any:
    """Put the addresses in the place of ranges."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return [] if value is None else value
    try:
        return expand(value)
    except ValueError as error:
        raise PydanticCustomError("addresses", "{message}", {"message": str(error)}) from None


def _none_to_empty_list(value: Any) -> Any:
    return [] if value is None else value


def _none_to_empty_dict(value: Any) -> Any:
    return {} if value is None else value


def _none_to_empty_string(value: Any) -> Any:
    return "" if value is None else value


Timestamp = Annotated[
    AwareDatetime,
    PlainSerializer(format_time, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
Address = Annotated[str, AfterValidator(check_address)]
Name = Annotated[str, AfterValidator(check_name)]
ExtraVars = Annotated[dict[str, Any], BeforeValidator(_parse_extra_vars)]
Seconds = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
HostGroup = Annotated[str, BeforeValidator(_none_to_empty_string)]
Choices = Annotated[list[T], BeforeValidator(_none_to_empty_list)]


class Answer(BaseModel):
    """What the service sends."""

    model_config = ConfigDict(extra="ignore", defer_build=True)


class Request(BaseModel):
    """What a client sends. contiv's client sends all of its members with every request: those are ignored."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _drop_members_of_other_requests(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: item for key, item in value.items() if key in cls.model_fields or key not in _CONTIV_MEMBERS}


class JobRequest(Request):
    """What every request for a job may say."""

    extra_vars: ExtraVars = Field(
        default_factory=dict,
        description="Extra vars for ansible: a JSON object, or a string holding one.",
        examples=[{"package_version": "1.2"}],
    )

    queue: bool = Field(default=False, description="Where the job cannot run now because of others, wait for its turn.")
    job_timeout: Seconds | None = Field(
        default=None,
        description="Seconds after which to stop the job; 0 for never. Default: as configured.",
        examples=[2700],
    )
    idle_timeout: Seconds | None = Field(
        default=None,
        description="Seconds without output after which to stop it; 0 for never. Default: as configured.",
        examples=[600],
    )


class Selection(Request):
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


class NodesRequest(JobRequest):
    """Commission, decommission or update nodes."""

    nodes: Annotated[list[str], BeforeValidator(_none_to_empty_list), AfterValidator(_unique)] = Field(
        default_factory=list,
        description="Names or management addresses of the nodes, or globs of names as `rack1-*`: `*`, `?` and `[...]`, "
        "case counts. One that comes twice counts once. Each must be or match a node.",
        examples=[["node1-4c4c4544"]],
    )
    select: Annotated[Selection, BeforeValidator(_none_to_empty_dict)] = Field(
        default_factory=Selection,
        description="Which of the named nodes to take or, where none is named, which of all. It is decided together "
        "with the rules; matching no node is an error.",
    )
    check: bool = Field(
        default=False,
        description="Run ansible with `--check --diff`: a job that says what it would change, and changes no node.",
    )
    limit_batch: int | None = Field(
        default=None,
        ge=1,
        le=10**6,
        description="Take so many nodes at a time, and stop at the first batch that fails. Default: all at once.",
        examples=[10],
    )
    host_group: HostGroup = Field(
        default="",
        description="Needed to commission; changes the group in an update; not used otherwise.",
        examples=["service-master"],
    )


class DiscoverRequest(JobRequest):
    """Run the configure playbook on addresses that are not nodes yet."""

    addrs: Annotated[list[Address], BeforeValidator(_expand), AfterValidator(_unique)] = Field(
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
    queue: bool = Field(default=False, description="Where the job cannot run now because of others, wait for its turn.")


class GlobalsRequest(Request):
    """Replace the global extra vars."""

    extra_vars: ExtraVars = Field(
        default_factory=dict,
        description="All of them: what is not named is gone.",
        examples=[{"env": {"http_proxy": "http://proxy:8080"}}],
    )


class MonitoredNode(Request):
    """A node as monitoring names it."""

    label: Name = Field(examples=["node1"])
    serial: Name = Field(examples=["4c4c4544"])
    addr: Address = Field(description="Management address.", examples=["192.168.2.11"])

    @property
    def name(self) -> str:
        """The node's name in the inventory."""
        return f"{self.label}-{self.serial}"


class MonitorEvent(Request):
    """News about nodes."""

    name: Annotated[str, BeforeValidator(_none_to_empty_string)] = Field(
        default="", description="`discovered` or `disappeared`.", examples=["discovered"]
    )
    nodes: Annotated[list[MonitoredNode], BeforeValidator(_none_to_empty_list)] = Field(default_factory=list)


class MonitorRequest(Request):
    """What a monitoring system posts."""

    monitor_event: MonitorEvent = Field(default_factory=MonitorEvent)


class ConfigRequest(Request):
    """Change the configuration of the running service; only `ansible` may differ from what it is."""

    config: dict[str, Any] | None = Field(
        default=None, description="Sections by name.", examples=[{"ansible": {"user": "vagrant"}}]
    )


class Event(Answer):
    """One thing that happened: an entry of the timeline and of its node's history."""

    id: int = Field(description="Gives the order, whatever the clock does.", examples=[42])
    at: Timestamp
    node: str | None = Field(description="Null for what concerns the whole cluster.", examples=["node2-b"])
    event: EventName
    result: Result | None = Field(description="Null for what cannot fail.")
    job: int | None = Field(description="Id of the job that caused it.", examples=[7])
    detail: str | None = Field(description="The reason of a failure.", examples=["disk /dev/sdb is missing"])
    cause: Cause | None = Field(default=None, description="What made it happen.")
    by: str | None = Field(default=None, description="Who asked for it.", examples=["192.168.2.1"])
    changes: dict[str, list[Any]] = Field(
        default_factory=dict,
        description="What it changed in the node, each from and to: `status`, `state`, `address`, `host_group`, "
        "`name`, `host_keys`, and host vars as `vars.NAME`.",
        examples=[{"status": ["Provisioning", "Allocated"]}],
    )
    times: int = Field(default=1, description="How often it happened: one entry stands for a node that comes and goes.")
    since: Timestamp | None = Field(default=None, description="When the first of these times was; null for only one.")

    def __str__(self) -> str:
        """Write it as the timeline does, without the time."""
        what = f"{self.node} {self.event}" if self.node else str(self.event)
        often = f", {self.times} times since {self.since:%Y-%m-%dT%H:%M:%SZ}" if self.since else ""
        return f"{what}; result: {self.result}" if self.result else what + often


class MonitoringState(Answer):
    """What monitoring says of a node."""

    label: str
    serial_number: str
    management_address: str


class InventoryState(Answer):
    """A node's place in its lifecycle."""

    name: str
    status: Status
    prev_status: Status = Field(description="The status before the last change.")
    state: State
    prev_state: State = Field(description="The state before the last change.")


class HostKey(Answer):
    """A host key of a node."""

    type: str = Field(examples=["ED25519"])
    fingerprint: str = Field(
        description="As `ssh-keygen -l` shows it.", examples=["SHA256:ydG8dTdmJp9VMg6ytfuOlTaGqI+1nnaKvKVVWWOGsFQ"]
    )

    @classmethod
    def of(cls, key: str) -> "HostKey":
        """Describe a public key."""
        return cls.model_construct(type=ssh_keys.kind(key), fingerprint=ssh_keys.fingerprint(key))

    def __str__(self) -> str:
        """Write both."""
        return f"{self.type} {self.fingerprint}"


class ConfigurationState(Answer):
    """What ansible is told of a node."""

    inventory_name: str
    host_group: str
    ssh_address: str
    inventory_vars: dict[str, Any]
    host_keys: list[HostKey] = Field(default_factory=list, description="That the node must have. Empty: none is known.")


class Node(Answer):
    """A node."""

    monitoring_state: MonitoringState
    inventory_state: InventoryState
    configuration_state: ConfigurationState
    events: list[Event] = Field(default_factory=list, description="Its latest events, newest last.")


class Step(Answer):
    """One playbook run of a job."""

    name: StepName
    playbook: str
    batch: int | None = Field(default=None, description="Which batch it ran on, from 1; null for all nodes at once.")
    started_at: Timestamp | None
    finished_at: Timestamp | None
    exit_status: int | None = Field(description="Of ansible-playbook; null if it did not run to its end.")
    error: str | None
    first_line: int | None = Field(description="Number of its first log line.")


class Recap(Answer):
    """How many of a job's tasks ended how on one node, as in ansible's PLAY RECAP."""

    ok: int = 0
    changed: int = 0
    failed: int = 0
    unreachable: int = 0
    skipped: int = 0
    rescued: int = 0
    ignored: int = 0


class Failure(Answer):
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


class Busy(Answer):
    """A node that is at a task."""

    node: str
    task: str
    since: Timestamp | None


class Current(Answer):
    """What a running job is at."""

    step: StepName
    play: str | None
    task: str | None = Field(description="The task that began last; null before the first one.")
    started_at: Timestamp | None
    busy: list[Busy] = Field(description="Nodes that have begun with a task and not ended it, the longest first.")


class TaskResult(Answer):
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


class Task(Answer):
    """A task, as a job ran it."""

    number: int = Field(description="Gives the order.")
    step: StepName
    play: str | None
    task: str
    path: str | None = Field(description="File and line of the playbook or role.", examples=["/etc/site.yml:7"])
    started_at: Timestamp | None
    finished_at: Timestamp | None = Field(description="When it ended on the last node so far.")
    results: list[TaskResult]


class Job(Answer):
    """A job."""

    id: int = Field(examples=[7])
    action: Action
    desc: str = Field(examples=["commission node1-4c4c4544 as service-master"])
    task: str = Field(description="The step that runs or ran last.", examples=["configure"])
    status: JobStatus
    error: str = Field(description="Why it did not end Complete; else empty.")
    nodes: list[str] = Field(description="Names of its nodes; of a discover job, its addresses.")
    host_group: str
    extra_vars: dict[str, Any] = Field(description="As requested, secrets redacted.")
    check: bool = Field(default=False, description="It runs ansible in check mode and changes no node.")
    limit_batch: int | None = Field(default=None, description="How many nodes it takes at a time; null for all.")
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
    current: Current | None = Field(default=None, description="What it is at, while it runs.")
    failures: list[Failure] = Field(default_factory=list)
    logs: list[str] | None = Field(default=None, description="Its log lines, where asked for.")


class PlannedStep(Answer):
    """One playbook run that a job would do."""

    name: StepName
    playbook: str = Field(description="Its path.", examples=["/etc/clusterm/playbooks/site.yml"])
    condition: str | None = Field(description="When it runs; null for always.", examples=["if configure fails"])
    error: str | None = Field(description="Why it cannot be run as things are.")


class Objection(Answer):
    """A reason why a request would be refused."""

    nodes: list[str] = Field(description="The nodes it is about; none where it is about the whole request.")
    reason: str


class Plan(Answer):
    """What a request would do, if it were sent now."""

    action: Action
    host_group: str
    nodes: list[Node] = Field(description="The nodes it means, as they are.")
    batches: list[list[str]] = Field(description="Their names, batch by batch; one batch where there is no limit.")
    check: bool
    steps: list[PlannedStep] = Field(description="What is run on each batch.")
    inventory: dict[str, Any] = Field(description="The inventory of all batches together, secrets redacted.")
    extra_vars: dict[str, Any] = Field(
        description="Those of the configuration, the globals and the request put together, secrets redacted."
    )
    waits_for: str | None = Field(description="The job that would have to end first, if it may wait for its turn.")
    objections: list[Objection] = Field(description="All reasons why it would be refused; none if it would be taken.")


class LogLine(Answer):
    """One line of a job's log."""

    seq: int = Field(description="Its number, from 1.", examples=[1])
    at: Timestamp
    node: str | None = None
    play: str | None = None
    task: str | None = None
    text: str
    partial: bool = Field(default=False, description="The line was cut here for its length; the next one goes on.")


class LogEnd(Answer):
    """The last record of a log that was followed, or of events: no line that was asked for is missing before it."""

    type: Literal["end"] = Field(default="end", description="Tells it from a line, which has no such member.")
    job: int = Field(description="Id of the job.", examples=[7])
    status: JobStatus = Field(description="Has the job not ended, then the lines asked for have.")
    lines: int = Field(description="The number of the log's last line.", examples=[15000])
    log_incomplete: bool
    log_bytes: int | None
    log_sha256: str | None


class ResultChange(Answer):
    """A result that is not what it was in an earlier job."""

    node: str
    step: StepName
    play: str | None
    task: str
    before: TaskStatus | None = Field(description="Null if the node did not come to that task.")
    after: TaskStatus | None = Field(description="Null while the node is busy with it.")
    message: str | None
    line: int | None = Field(description="Number of the log line that tells of it.")


class DurationChange(Answer):
    """A task that takes longer than in an earlier job."""

    step: StepName
    play: str | None
    task: str
    before: float = Field(description="Seconds.")
    after: float = Field(description="Seconds.")


class JobDiff(Answer):
    """What is different in a job from an earlier one."""

    before: int = Field(description="Id of the earlier job.", examples=[6])
    after: int = Field(description="Id of the later one.", examples=[7])
    failing: list[ResultChange] = Field(description="Tasks that fail on a node, and did not.")
    changed: list[ResultChange] = Field(description="Tasks that change something on a node, and did not.")
    slower: list[DurationChange] = Field(
        description="Tasks that take more than twice as long, and a second at least, in all their runs together."
    )


class Globals(Answer):
    """The global extra vars, secrets redacted."""

    extra_vars: dict[str, Any] = Field(examples=[{"env": {"http_proxy": "http://proxy:8080"}}])


class Page(Answer, Generic[T]):
    """One page of a longer list."""

    items: list[T]
    next: str | None = Field(description="Pass it as `cursor` to get the next page; null on the last one.")

    @classmethod
    def last(cls, items: list[T]) -> Self:
        """Make a page after which there is none."""
        return cls(items=items, next=None)


class Problem(Answer):
    """An error, after RFC 9457."""

    type: str = "about:blank"
    title: str = Field(examples=["Conflict"])
    status: int = Field(examples=[409])
    detail: str = Field(
        examples=["there is already an active job, please try in sometime. Job: commission node1-a (7)"]
    )


class Check(Answer):
    """Whether the service has something that it works with."""

    ok: bool
    needed: bool = Field(description="Without it no job can run, or be kept; what is not needed is only worth a look.")
    why: str | None = Field(
        default=None, description="What is wrong.", examples=["the Serf agent at 127.0.0.1:7373 cannot be used"]
    )


class Drain(Answer):
    """Whether new jobs are refused, and what still runs."""

    drained: bool = Field(description="New jobs are refused, and queued ones wait, until this ends.")
    running: list[int] = Field(description="Ids of the jobs that run.", examples=[[7]])


class Health(Answer):
    """The service is well; if it is not, a problem is answered."""

    status: str = Field(default="ok", examples=["ok"])
    degraded: list[str] = Field(default_factory=list, description="What is wrong, but keeps no job from running.")


class Readiness(Health):
    """The service can do its work; if it cannot, a problem is answered that has the checks, too."""

    checks: dict[str, Check] = Field(
        description="`store`: it can be written. `disk`: it has room (`manager.min_free_bytes`). `ansible`: it is "
        "there and runs. `serf`, `probe`: nodes can be watched. `notifications`: webhooks take what they are sent.",
        examples=[{"store": {"ok": True, "needed": True, "why": None}}],
    )


class JobSummary(Answer):
    """What matters of a job, in short."""

    id: int = Field(examples=[7])
    desc: str = Field(examples=["commission node1-4c4c4544 as service-master"])
    status: JobStatus
    error: str
    requested_by: str
    started_at: Timestamp | None
    finished_at: Timestamp | None


class NodeCount(Answer):
    """How many nodes have a status and a state."""

    status: Status
    state: State
    nodes: int = Field(examples=[12])


class NotificationCount(Answer):
    """What became of the messages to a webhook."""

    pending: int
    sent: int
    failed: int = Field(description="Given up.")


class ServiceStatus(Answer):
    """How the service is, at a glance."""

    version: str
    url: str = Field(description="Where it is reached.", examples=["http://127.0.0.1:9007"])
    since: Timestamp = Field(description="When it was started.")
    ready: bool = Field(description="It can do its work.")
    checks: dict[str, Check] = Field(description="As in `/readyz`.")
    drained: bool = Field(description="It takes no new jobs.")
    running: list[JobSummary]
    queued: int = Field(description="How many jobs wait for their turn.")
    nodes: list[NodeCount]
    last_job: JobSummary | None = Field(description="The one that ended last.")
    last_failure: JobSummary | None = Field(description="The one that ended Errored last.")
    store_bytes: int = Field(description="Size of the database's files.", examples=[4931584])
    free_bytes: int = Field(description="Room on the disk of the state directory.", examples=[52428800000])
    notifications: dict[str, NotificationCount] = Field(description="By webhook.")


class NextStep(Answer):
    """Something that could be done about a node."""

    command: str = Field(description="What to type.", examples=["clusterctl node update node1-4c4c4544"])
    what: str = Field(description="What it does.", examples=["configure it anew"])
    allowed: bool = Field(description="Whether it would be taken as things are.")
    reason: str | None = Field(default=None, description="Why it would be refused.")


class Explanation(Answer):
    """A node in words: what it is, how it came to that, and what may be done next."""

    node: str = Field(examples=["node1-4c4c4544"])
    status: Status
    status_means: str = Field(examples=["part of the cluster"])
    since: Timestamp | None = Field(description="Since when it has this status; null if that is no longer known.")
    state: State
    state_means: str
    state_since: Timestamp | None = Field(description="When monitoring last had news of it.")
    host_group: str
    event: Event | None = Field(description="The last event by which a job ended for it.")
    job: Job | None = Field(
        description="The job that runs on it, else the one that brought it to its status; null if there was none, or "
        "if it is no longer kept."
    )
    failures: list[Failure] = Field(description="Where it failed in that job.")
    look_at: list[str] = Field(description="Commands that show more.", examples=[["clusterctl job get 7"]])
    waiting: list[int] = Field(description="Ids of the jobs on it that wait for their turn.", examples=[[9]])
    next_steps: list[NextStep]


class Versions(Answer):
    """Which versions are at work."""

    clusterm: str
    ansible: str | None = Field(description="Of ansible-core; null if it cannot be told.", examples=["2.19.14"])
    ansible_playbook: str | None = Field(description="The program that is run; null if it was not found.")
    python: str
    sqlite: str
    os: str | None = Field(examples=["Debian GNU/Linux 12 (bookworm)"])
    kernel: str = Field(examples=["Linux 6.1.0-13-amd64 x86_64"])
