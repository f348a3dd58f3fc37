"""Health, readiness, status and versions of the service."""

from pydantic import (
    Field,
)

from clusterm.schemas.base import ResponseModel, Timestamp
from clusterm.schemas.jobs import JobSummary
from clusterm.schemas.nodes import NodeCount


class HealthCheck(ResponseModel):
    """Whether the service has something that it works with."""

    ok: bool
    needed: bool = Field(description="Without it no job can run, or be kept; what is not needed is only worth a look.")
    why: str | None = Field(
        default=None, description="What is wrong.", examples=["the Serf agent at 127.0.0.1:7373 cannot be used"]
    )


class Drain(ResponseModel):
    """Whether new jobs are refused, and what still runs."""

    drained: bool = Field(description="New jobs are refused, and queued ones wait, until this ends.")
    running: list[int] = Field(description="Ids of the jobs that run.", examples=[[7]])


class Health(ResponseModel):
    """The service is well; if it is not, a problem is answered."""

    status: str = Field(default="ok", examples=["ok"])
    degraded: list[str] = Field(default_factory=list, description="What is wrong, but keeps no job from running.")


class Readiness(Health):
    """The service can do its work; if it cannot, a problem is answered that has the checks, too."""

    checks: dict[str, HealthCheck] = Field(
        description="`store`: it can be written. `disk`: it has room (`manager.min_free_bytes`). `ansible`: it is "
        "there and runs. `serf`, `probe`: nodes can be watched. `notifications`: webhooks take what they are sent.",
        examples=[{"store": {"ok": True, "needed": True, "why": None}}],
    )


class NotificationCount(ResponseModel):
    """What became of the messages to a webhook."""

    pending: int
    sent: int
    failed: int = Field(description="Given up.")


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


class ServiceStatus(ResponseModel):
    """Summary of the service's state."""

    version: str
    url: str = Field(description="Where it is reached.", examples=["http://127.0.0.1:9007"])
    since: Timestamp = Field(description="When it was started.")
    ready: bool = Field(description="It can do its work.")
    checks: dict[str, HealthCheck] = Field(description="As in `/readyz`.")
    drained: bool = Field(description="It takes no new jobs.")
    running: list[JobSummary]
    queued: int = Field(description="How many jobs wait for their turn.")
    nodes: list[NodeCount]
    last_job: JobSummary | None = Field(description="The one that ended last.")
    last_failure: JobSummary | None = Field(description="The one that ended Errored last.")
    store_bytes: int = Field(description="Size of the database's files.", examples=[4931584])
    free_bytes: int = Field(description="Room on the disk of the state directory.", examples=[52428800000])
    notifications: dict[str, NotificationCount] = Field(description="By webhook.")
    tasks: list[BackgroundTaskStatus] = Field(default_factory=list, description="The service's background tasks.")


class Versions(ResponseModel):
    """Which versions are at work."""

    clusterm: str
    ansible: str | None = Field(description="Of ansible-core; null if it cannot be told.", examples=["2.19.14"])
    ansible_playbook: str | None = Field(description="The program that is run; null if it was not found.")
    python: str
    sqlite: str
    os: str | None = Field(examples=["Debian GNU/Linux 12 (bookworm)"])
    kernel: str = Field(examples=["Linux 6.1.0-13-amd64 x86_64"])
