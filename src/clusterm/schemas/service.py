"""Health, readiness, status and versions of the service."""

from pydantic import (
    Field,
)

from clusterm.schemas.base import ResponseModel, Timestamp
from clusterm.schemas.jobs import JobSummary, Wait
from clusterm.schemas.nodes import NodeCount


class HealthCheck(ResponseModel):
    """Result of a check of something that the service depends on."""

    ok: bool
    needed: bool = Field(
        description="If true, no job can run or be stored while this fails, or no client can connect; "
        "if false, a failure is a warning."
    )
    why: str | None = Field(
        default=None,
        description="The problem; null if there is none.",
        examples=["the Serf agent at 127.0.0.1:7373 cannot be used"],
    )


class Drain(ResponseModel):
    """Whether new jobs are rejected, and which jobs run."""

    drained: bool = Field(description="Whether new jobs are rejected and queued jobs wait.")
    running: list[int] = Field(description="Ids of the running jobs.", examples=[[7]])


class Health(ResponseModel):
    """The service is healthy; otherwise the response is a Problem."""

    status: str = Field(default="ok", examples=["ok"])
    degraded: list[str] = Field(default_factory=list, description="Problems that do not affect jobs.")


class Readiness(Health):
    """The service is ready; otherwise the response is a Problem with `checks`."""

    checks: dict[str, HealthCheck] = Field(
        description="`store`: it can be written. `disk`: it has free space (`manager.min_free_bytes`). `ansible`: it "
        "is installed and runs. `tasks`: background tasks succeed. "
        "`serf`, `probe`: nodes can be monitored. `notifications`: webhooks accept messages.",
        examples=[{"store": {"ok": True, "needed": True, "why": None}}],
    )


class NotificationCount(ResponseModel):
    """The messages to a webhook, by result."""

    pending: int
    sent: int
    failed: int = Field(description="Dropped because they were too old.")


class BackgroundTaskStatus(ResponseModel):
    """The runs of a background task since the service started."""

    name: str = Field(examples=["supervisor"])
    runs: int = Field(description="Runs that have ended.", examples=[1200])
    failures: int = Field(description="Runs that failed, as a whole or for one of their items.", examples=[0])
    last_run: Timestamp | None = Field(description="Start of the last run; null before the first has ended.")
    last_duration: float | None = Field(description="Seconds that the last run took.", examples=[0.004])
    last_success: Timestamp | None = Field(description="End of the last run that succeeded; null if there is none.")
    last_error: str | None = Field(
        description="Error of the last run that failed; null if none has failed.", examples=["database is locked"]
    )
    last_error_at: Timestamp | None = Field(description="End of the last run that failed; null if none has failed.")


class QueuedJob(ResponseModel):
    """A queued job, and why it waits."""

    id: int = Field(examples=[7])
    desc: str = Field(examples=["commission node1-4c4c4544 as service-master"])
    wait: Wait


class ServiceStatus(ResponseModel):
    """Summary of the service's state."""

    version: str
    url: str = Field(description="URL of the service.", examples=["http://127.0.0.1:9007"])
    since: Timestamp = Field(description="Time of the start.")
    ready: bool = Field(description="Whether jobs can run and be stored.")
    checks: dict[str, HealthCheck] = Field(description="As in `/readyz`.")
    drained: bool = Field(description="Whether new jobs are rejected.")
    running: list[JobSummary]
    queued: int = Field(description="Number of jobs in the queue.")
    waiting: list[QueuedJob] = Field(default_factory=list, description="The first jobs in the queue, 20 at most.")
    nodes: list[NodeCount]
    last_job: JobSummary | None = Field(description="The one that ended last.")
    last_failure: JobSummary | None = Field(description="The one that ended Errored last.")
    store_bytes: int = Field(description="Size of the database; 0 while a server cannot be asked.", examples=[4931584])
    free_bytes: int = Field(description="Free disk space of the state directory.", examples=[52428800000])
    notifications: dict[str, NotificationCount] = Field(description="By webhook.")
    tasks: list[BackgroundTaskStatus] = Field(default_factory=list, description="The service's background tasks.")


class ServiceLog(ResponseModel):
    """Lines of the service's own log."""

    lines: list[str] = Field(
        description="The latest lines as text, oldest first.",
        examples=[["2026-11-22T07:31:02.120Z INFO clusterm listens on http://127.0.0.1:9007"]],
    )


class Versions(ResponseModel):
    """Versions of the service and its environment."""

    clusterm: str
    ansible: str | None = Field(
        description="Version of ansible-core; null if it cannot be determined.", examples=["2.19.14"]
    )
    ansible_playbook: str | None = Field(description="Path of the program; null if it was not found.")
    python: str
    sqlite: str
    postgresql: str | None = Field(
        default=None,
        description="Version of the PostgreSQL server; null if the database is SQLite, or while it cannot be asked.",
        examples=["15.18"],
    )
    os: str | None = Field(examples=["Debian GNU/Linux 12 (bookworm)"])
    kernel: str = Field(examples=["Linux 6.1.0-13-amd64 x86_64"])
