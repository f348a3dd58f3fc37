"""The tables. Times are in UTC. Ids define the order of rows; times do not."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import JSON, Column, Enum, ForeignKey, ForeignKeyConstraint, Index, Integer, String, text
from sqlmodel import Field, SQLModel

from clusterm.common.addresses import Place, ssh_port
from clusterm.enums import (
    Cause,
    EventKind,
    EventName,
    JobStatus,
    NotificationKind,
    Outcome,
    Result,
    State,
    Status,
    TaskStatus,
    TokenRole,
)


def _names(kind: type[StrEnum]) -> Enum:
    """Return a column type that stores the value of a member, in a column with space for future members."""
    return Enum(kind, native_enum=False, length=32, values_callable=lambda kind: [member.value for member in kind])


_NAME = String(32)
_CAUSE = _names(Cause)
_EVENT_KIND = _names(EventKind)
_EVENT_NAME = _names(EventName)
_JOB_STATUS = _names(JobStatus)
_OUTCOME = _names(Outcome)
_RESULT = _names(Result)
_STATE = _names(State)
_STATUS = _names(Status)
_TASK_STATUS = _names(TaskStatus)
_TOKEN_ROLE = _names(TokenRole)
_WEBHOOK_EVENT = _names(NotificationKind)


class Node(SQLModel, table=True):
    """A machine that monitoring has reported, or that was imported."""

    __tablename__ = "nodes"

    name: str = Field(primary_key=True)  # <label>-<serial>
    label: str
    serial: str
    address: str = Field(index=True)  # canonical
    status: Status = Field(sa_type=_STATUS)
    prev_status: Status = Field(sa_type=_STATUS)
    state: State = Field(sa_type=_STATE)
    prev_state: State = Field(sa_type=_STATE)
    host_group: str
    inventory_vars: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))  # masked
    encrypted: str | None = None  # all of them, encrypted; null without secrets
    # names of the variables that are secret whatever their names
    secret_vars: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False, server_default="[]"))
    # trusted host keys, as ssh_keys.parse returns them
    host_keys: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False, server_default="[]"))

    @property
    def place(self) -> Place:
        """Where it is reached; without a port if only ansible can tell the port."""
        return Place(self.address, ssh_port(self.inventory_vars))


class Event(SQLModel, table=True):
    """Something that happened to a node, a job or the service. `node` is null unless it happened to a node.

    An event is kept longer than its node and its job, so neither is a foreign key.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("events_by_node", "node", "id"),
        Index("events_by_kind", "kind", "is_reachability", "id"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    at: datetime
    node: str | None
    event: EventName = Field(sa_type=_EVENT_NAME)
    kind: EventKind = Field(default=EventKind.NODES, sa_type=_EVENT_KIND, sa_column_kwargs={"server_default": "nodes"})
    result: Result | None = Field(sa_type=_RESULT)
    job_id: int | None
    detail: str | None
    cause: Cause | None = Field(default=None, sa_type=_CAUSE)
    by: str | None = None  # requester
    changes: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False, server_default="{}"))
    # whether it is that the node was discovered or disappeared
    is_reachability: bool = Field(default=False, sa_column_kwargs={"server_default": "0"})
    times: int = Field(default=1, sa_column_kwargs={"server_default": "1"})  # how often it happened in sequence
    since: datetime | None = None  # when it happened first in that sequence
    action: str | None = Field(default=None, sa_type=_NAME)  # of the job that caused it, if it is one of the site


class Job(SQLModel, table=True):
    """An accepted request to run playbooks on nodes."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_by_status", "status", "id"),
        Index("jobs_by_end", "end_order", unique=True),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    action: str = Field(sa_type=_NAME)
    # what the action was when the job was accepted, as store.definitions writes it; null if an earlier version did
    definition: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    status: JobStatus = Field(sa_type=_JOB_STATUS)
    error: str = ""
    host_group: str
    extra_vars: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))  # masked
    encrypted: str | None = None  # all of them, encrypted; null without secrets
    requested_by: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    end_order: int | None = None  # 1 for the job that ended first; the greatest is `last`
    # of the machine when the job was accepted, or started since; the job's processes do not survive a reboot
    boot_id: str | None = None
    created_clock: float | None = None  # seconds of the monotonic clock in that boot
    started_clock: float | None = None  # likewise
    waited: float | None = None  # seconds from its acceptance to its start
    seconds: float | None = None  # from its start to its end
    retry_of: int | None = None
    # whether ansible runs in check mode and only reports what it would change
    check: bool = Field(default=False, sa_column_kwargs={"server_default": "0"})
    # sizes of batches as requested, see common.batches; null for all nodes at once
    limit_batch: Any = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    # how many nodes may fail, as requested; null for none
    max_failures: Any = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    job_timeout: float | None = None  # seconds; 0 disables it, null takes the setting
    idle_timeout: float | None = None  # likewise
    stop_status: JobStatus | None = Field(default=None, sa_type=_JOB_STATUS)  # the status that a stopped job ends with
    stop_reason: str | None = None
    stop_requested_by: str | None = None
    stop_requested_at: datetime | None = None
    stop_cleanup: bool = True  # whether cleanup runs after a stopped configure
    lines: int = 0  # number of the last log line
    bytes: int = 0  # size of the log, with a newline for each line
    truncated_at: int | None = None  # the line after which lines are deleted while the log is too large
    omitted: int = 0  # how many lines were deleted there
    incomplete: bool = False  # lines are missing
    # whether a node can pass although another one of the job fails
    partial_success: bool = Field(default=False, sa_column_kwargs={"server_default": "0"})
    sha256: str | None = None  # of the log of an ended job as it is served as text; null until then
    recap: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    warnings: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False, server_default="[]"))
    # its place in a distributed trace, all in hexadecimal; null if an earlier version accepted it
    trace_id: str | None = None
    span_id: str | None = None  # of the job itself; the ids of the spans below it are derived from it
    parent_span_id: str | None = None  # of the request; null if the request named none
    # false if the parent of the request is not exported
    sampled: bool = Field(default=True, sa_column_kwargs={"server_default": "1"})
    # which playbooks it runs, as `schemas.Provenance`; null until its executor has begun
    provenance: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    manifest: str | None = Field(default=None, index=True)  # digest of the Manifest of these playbooks


class Manifest(SQLModel, table=True):
    """The files and collections that jobs ran with. Jobs with the same ones share a row, which is deleted with them."""

    __tablename__ = "manifests"

    digest: str = Field(primary_key=True)
    content: bytes  # compressed JSON


class JobNode(SQLModel, table=True):
    """A node of a job, or an address to discover. The index `jobs_hold_nodes` reserves it for one running job."""

    __tablename__ = "job_nodes"
    __table_args__ = (
        Index("jobs_hold_nodes", "node", unique=True, sqlite_where=text("held")),
        Index("job_nodes_by_node", "node", "job_id"),
    )

    job_id: int = Field(sa_column=Column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True))
    position: int = Field(primary_key=True)
    node: str
    held: bool
    former_host_group: str | None = None  # before the job, if the job has changed it and may have to restore it
    outcome: Outcome | None = Field(default=None, sa_type=_OUTCOME)  # null until the job has ended


class JobStep(SQLModel, table=True):
    """A playbook run of a job, and how much of its output is in the store."""

    __tablename__ = "job_steps"

    job_id: int = Field(sa_column=Column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True))
    number: int = Field(primary_key=True)
    name: str = Field(sa_type=_NAME)
    playbook: str
    batch: int | None = None  # number of the batch, from 1; null for all nodes at once
    # how often the step was begun on its nodes
    attempt: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    started_at: datetime | None = None
    finished_at: datetime | None = None
    started_clock: float | None = None  # seconds of the monotonic clock in the boot in which the job started
    seconds: float | None = None  # from its start to its end
    exit_status: int | None = None
    error: str | None = None
    # nodes that passed; null if ansible has not reported them
    passed: list[str] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    # nodes that no play of the playbook is for; null if ansible has not reported them
    without_play: list[str] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    first_line: int | None = None
    after_stop: bool = False  # it is the cleanup after a stop, so that stop does not stop it
    offset: int = 0  # bytes of the output that are in the store
    first_unattributed_line: int | None = None  # first line whose origin no record has given yet


class JobFailure(SQLModel, table=True):
    """Why a node failed in a step."""

    __tablename__ = "job_failures"
    __table_args__ = (
        ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        Index("job_failures_by_node", "job_id", "step", "node"),
    )

    job_id: int = Field(primary_key=True)
    number: int = Field(primary_key=True)  # in the order in which they occurred
    node: str
    step: str = Field(sa_type=_NAME)
    play: str | None
    task: str | None
    message: str
    line: int | None


class JobTask(SQLModel, table=True):
    """A task that ansible ran in a step. The start of a play is a task without a name."""

    __tablename__ = "job_tasks"
    __table_args__ = (ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),)

    job_id: int = Field(primary_key=True)
    number: int = Field(primary_key=True)
    step: int
    play: str | None
    name: str | None
    path: str | None = None  # file and line in the playbook
    started_at: datetime | None = None
    finished_at: datetime | None = None


class TaskResult(SQLModel, table=True):
    """The result of a task on a node, from when the node began with the task."""

    __tablename__ = "task_results"
    __table_args__: ClassVar[Any] = (
        ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        Index("task_results_busy", "job_id", sqlite_where=text("status IS NULL")),
        Index("task_results_by_node", "job_id", "node"),
        {"sqlite_with_rowid": False},
    )

    job_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    number: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    task: int  # number of the JobTask
    node: str
    status: TaskStatus | None = Field(
        default=None, sa_type=_TASK_STATUS
    )  # null while the node is busy with it, or if it was interrupted
    retries: int = 0
    message: str | None = None
    first_line: int | None = None
    last_line: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class LogLine(SQLModel, table=True):
    """A line of a job's output. A very long line is several rows, all except the last one `partial`."""

    __tablename__ = "log_lines"
    # Clustered by the primary key: a range of lines is a range of pages.
    __table_args__: ClassVar[Any] = (
        ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        {"sqlite_with_rowid": False},
    )

    job_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    seq: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    at: datetime
    text: str
    partial: bool
    task: int | None  # number of the JobTask
    node: str | None


class Notification(SQLModel, table=True):
    """A message that has not been sent to a webhook or, if `webhook` is null, not been copied for the webhooks."""

    __tablename__ = "notifications"
    __table_args__ = (Index("notifications_by_webhook", "webhook", "id"), {"sqlite_autoincrement": True})

    id: int = Field(default=None, primary_key=True)
    key: str  # with which a receiver recognizes a repeated delivery
    at: datetime
    due_at: datetime  # when it is to be copied; of a copy, when it was made
    event: NotificationKind = Field(sa_type=_WEBHOOK_EVENT)
    webhook: str | None = None
    node: str | None = None  # a later message about this node replaces this one; null for copies and about jobs
    about: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class IdempotencyKey(SQLModel, table=True):
    """A key that a client sent with a request, so that a repeated request has no further effect."""

    __tablename__ = "idempotency_keys"

    key: str = Field(primary_key=True)
    request: str  # digest of the request
    job_id: int
    at: datetime = Field(index=True)


class Token(SQLModel, table=True):
    """An access token. The database has only its digest."""

    __tablename__ = "tokens"
    __table_args__ = (
        Index("tokens_by_name", "name", unique=True, sqlite_where=text("revoked_at IS NULL")),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    name: str  # unique among the tokens that are not revoked
    role: TokenRole = Field(sa_type=_TOKEN_ROLE)
    digest: str = Field(unique=True)  # SHA-256
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    used_at: datetime | None = None  # accurate to about a minute


class WebSession(SQLModel, table=True):
    """A session of the dashboard: it stands for the token with which it was opened, and ends with it."""

    __tablename__ = "web_sessions"

    digest: str = Field(primary_key=True)  # SHA-256 of the value of the cookie
    token_id: int = Field(sa_column=Column(ForeignKey("tokens.id", ondelete="CASCADE"), nullable=False))
    created_at: datetime
    seen_at: datetime  # accurate to about a minute


class Setting(SQLModel, table=True):
    """A value that is set at run time and kept across restarts, such as the globals."""

    __tablename__ = "settings"

    name: str = Field(primary_key=True)
    value: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))  # masked
    encrypted: str | None = None  # the whole value, encrypted; null without secrets


__all__ = [
    "Event",
    "IdempotencyKey",
    "Job",
    "JobFailure",
    "JobNode",
    "JobStep",
    "JobTask",
    "LogLine",
    "Manifest",
    "Node",
    "Notification",
    "SQLModel",
    "Setting",
    "TaskResult",
    "Token",
    "WebSession",
]
