"""The tables. Times are UTC; order comes from ids, never from times."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import JSON, Column, Enum, ForeignKey, ForeignKeyConstraint, Index, Integer, text
from sqlmodel import Field, SQLModel

from clusterm.enums import (
    Action,
    Cause,
    EventName,
    JobStatus,
    NotificationKind,
    Result,
    State,
    Status,
    StepName,
    TaskStatus,
    TokenRole,
)


def _names(kind: type[StrEnum]) -> Enum:
    """Store the value of a member, as it goes over the wire, in a column that has room for new ones."""
    return Enum(kind, native_enum=False, length=32, values_callable=lambda kind: [member.value for member in kind])


_ACTION = _names(Action)
_CAUSE = _names(Cause)
_EVENT_NAME = _names(EventName)
_JOB_STATUS = _names(JobStatus)
_RESULT = _names(Result)
_STATE = _names(State)
_STATUS = _names(Status)
_STEP_NAME = _names(StepName)
_TASK_STATUS = _names(TaskStatus)
_TOKEN_ROLE = _names(TokenRole)
_WEBHOOK_EVENT = _names(NotificationKind)


class Node(SQLModel, table=True):
    """One machine that monitoring has told of."""

    __tablename__ = "nodes"

    name: str = Field(primary_key=True)  # <label>-<serial>
    label: str
    serial: str
    address: str = Field(index=True)
    status: Status = Field(sa_type=_STATUS)
    prev_status: Status = Field(sa_type=_STATUS)
    state: State = Field(sa_type=_STATE)
    prev_state: State = Field(sa_type=_STATE)
    host_group: str
    inventory_vars: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))  # masked
    encrypted: str | None = None  # the same encrypted, where there are secrets among them
    # that are known of it, as ssh_keys.parse returns them
    host_keys: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False, server_default="[]"))


class Event(SQLModel, table=True):
    """One thing that happened to a node, or to the cluster where `node` is null.

    It outlives the node and the job that it names, so neither is a foreign key.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("events_by_node", "node", "id"),
        Index("events_by_reachability", "is_reachability", "id"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    at: datetime
    node: str | None
    event: EventName = Field(sa_type=_EVENT_NAME)
    result: Result | None = Field(sa_type=_RESULT)
    job_id: int | None
    detail: str | None
    cause: Cause | None = Field(default=None, sa_type=_CAUSE)
    by: str | None = None  # who asked for it
    changes: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False, server_default="{}"))
    is_reachability: bool = Field(default=False, sa_column_kwargs={"server_default": "0"})  # that it came or went
    times: int = Field(default=1, sa_column_kwargs={"server_default": "1"})  # how often it happened in a row
    since: datetime | None = None  # the first of these times


class Job(SQLModel, table=True):
    """One accepted request to run playbooks on nodes."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_by_status", "status", "id"),
        Index("jobs_by_end", "end_order", unique=True),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    action: Action = Field(sa_type=_ACTION)
    status: JobStatus = Field(sa_type=_JOB_STATUS)
    error: str = ""
    host_group: str
    extra_vars: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))  # masked
    encrypted: str | None = None  # the same encrypted, where there are secrets among them
    requested_by: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    end_order: int | None = None  # 1 for the job that ended first; gives `last` its meaning
    boot_id: str | None = None  # of the machine when the job started: after a reboot its processes are gone
    started_clock: float | None = None  # monotonic seconds in that boot
    retry_of: int | None = None
    # whether ansible only says what it would change
    check: bool = Field(default=False, sa_column_kwargs={"server_default": "0"})
    limit_batch: int | None = None  # how many nodes it takes at a time; null for all at once
    job_timeout: float | None = None  # seconds, 0 for none; as the configuration says where it is null
    idle_timeout: float | None = None
    stop_status: JobStatus | None = Field(default=None, sa_type=_JOB_STATUS)  # what a stopped job ends as
    stop_reason: str | None = None
    stop_requested_by: str | None = None
    stop_requested_at: datetime | None = None
    stop_cleanup: bool = True  # whether a stopped configure is still cleaned up after
    lines: int = 0  # how many log lines are stored
    bytes: int = 0  # how large they are, with a newline each
    truncated_at: int | None = None  # where the log became too large, the line that says so; the oldest after it go
    omitted: int = 0  # how many lines were left out there
    incomplete: bool = False  # lines are missing
    # whether nodes may pass though others of the job fail
    partial_success: bool = Field(default=False, sa_column_kwargs={"server_default": "0"})
    sha256: str | None = None  # of an ended job's log, as it is served as text
    recap: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    failures: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))


class JobNode(SQLModel, table=True):
    """One node, or address to discover, of a job. While the job runs no other may have it: `jobs_hold_nodes`."""

    __tablename__ = "job_nodes"
    __table_args__ = (
        Index("jobs_hold_nodes", "node", unique=True, sqlite_where=text("held")),
        Index("job_nodes_by_node", "node", "job_id"),
    )

    job_id: int = Field(sa_column=Column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True))
    position: int = Field(primary_key=True)
    node: str
    held: bool
    former_host_group: str | None = None  # where the job has changed it and may have to take that back
    result: Result | None = Field(default=None, sa_type=_RESULT)  # its own, whatever others did; once the job has ended


class JobStep(SQLModel, table=True):
    """One playbook run of a job, and how far its output has been read into the store."""

    __tablename__ = "job_steps"

    job_id: int = Field(sa_column=Column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True))
    number: int = Field(primary_key=True)
    name: StepName = Field(sa_type=_STEP_NAME)
    playbook: str
    batch: int | None = None  # which one it is run on, from 1; null for all nodes at once
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_status: int | None = None
    error: str | None = None
    passed: list[str] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))  # nodes, if ansible tells
    first_line: int | None = None
    after_stop: bool = False  # it cleans up after a stop, which so does not stop it
    offset: int = 0  # bytes of the output that are in the store
    first_unattributed_line: int | None = None  # first line that no record has told the origin of yet


class JobTask(SQLModel, table=True):
    """One task of a play, as ansible ran it in a step; the start of the play itself is one without a name."""

    __tablename__ = "job_tasks"
    __table_args__ = (ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),)

    job_id: int = Field(primary_key=True)
    number: int = Field(primary_key=True)
    step: int
    play: str | None
    name: str | None
    path: str | None = None  # file and line of the playbook
    started_at: datetime | None = None
    finished_at: datetime | None = None


class TaskResult(SQLModel, table=True):
    """One node's part in a task, from when the node began with it."""

    __tablename__ = "task_results"
    __table_args__: ClassVar[Any] = (
        ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        Index("task_results_busy", "job_id", sqlite_where=text("status IS NULL")),
        {"sqlite_with_rowid": False},
    )

    job_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    number: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    task: int  # number of the JobTask
    node: str
    status: TaskStatus | None = Field(
        default=None, sa_type=_TASK_STATUS
    )  # null while the node is busy with it, or was cut off
    retries: int = 0
    message: str | None = None
    first_line: int | None = None
    last_line: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class LogLine(SQLModel, table=True):
    """One line of a job's output; a very long one is several rows, all but the last `partial`."""

    __tablename__ = "log_lines"
    # Clustered by its key: a range of lines is a range of pages.
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
    """One message that is still to be sent to a webhook or, where `webhook` is null, to all that want it."""

    __tablename__ = "notifications"
    __table_args__ = (Index("notifications_by_webhook", "webhook", "id"), {"sqlite_autoincrement": True})

    id: int = Field(default=None, primary_key=True)
    key: str  # by which a receiver knows it when it comes again
    at: datetime
    due_at: datetime
    event: NotificationKind = Field(sa_type=_WEBHOOK_EVENT)
    webhook: str | None = None
    node: str | None = None  # news of it take the place of earlier ones that are not sent yet
    about: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class IdempotencyKey(SQLModel, table=True):
    """One key that a client sent with a request, so that sending it twice does it once."""

    __tablename__ = "idempotency_keys"

    key: str = Field(primary_key=True)
    request: str  # digest of what came with it
    job_id: int
    at: datetime = Field(index=True)


class Token(SQLModel, table=True):
    """One token that was made. The service knows no more of it than a digest."""

    __tablename__ = "tokens"
    __table_args__ = (
        Index("tokens_by_name", "name", unique=True, sqlite_where=text("revoked_at IS NULL")),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    name: str  # unique among those that were not revoked
    role: TokenRole = Field(sa_type=_TOKEN_ROLE)
    digest: str = Field(unique=True)  # SHA-256
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    used_at: datetime | None = None  # to the minute or so


class Setting(SQLModel, table=True):
    """One thing set at run time and kept across restarts: the globals, a changed configuration."""

    __tablename__ = "settings"

    name: str = Field(primary_key=True)
    value: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))  # masked
    encrypted: str | None = None  # the same encrypted, where there are secrets in it


__all__ = [
    "Event",
    "IdempotencyKey",
    "Job",
    "JobNode",
    "JobStep",
    "JobTask",
    "LogLine",
    "Node",
    "Notification",
    "SQLModel",
    "Setting",
    "TaskResult",
    "Token",
]
