"""Section `retention`."""

from pydantic import (
    Field,
)

from clusterm.enums import EventKind
from clusterm.settings.base import GIB, KIB, MIB, Section


class RetentionSettings(Section):
    """Limits on stored jobs, logs and events. The last jobs that a node passed and failed are always kept."""

    jobs: int = Field(default=1000, ge=1, description="Maximum number of ended jobs.")
    days: float = Field(default=0, ge=0, description="Days to keep a job after it ended. 0 disables the limit.")
    log_bytes: int = Field(default=GIB, ge=MIB, description="Maximum size of all logs together, in bytes.")
    job_log_bytes: int = Field(
        default=256 * MIB,
        ge=64 * KIB,
        description="Maximum size of a job's log, in bytes; the middle of a larger log is dropped.",
    )
    timeline: int = Field(
        default=10000, ge=1, le=10**6, description="Maximum number of events of nodes in the timeline."
    )
    job_events: int = Field(default=10000, ge=1, le=10**6, description="Maximum number of events of jobs.")
    admin_events: int = Field(
        default=10000, ge=1, le=10**6, description="Maximum number of events of the service and its settings."
    )
    node_events: int = Field(default=1000, ge=1, le=10**6, description="Maximum number of events kept per node.")

    @property
    def timeline_bounds(self) -> dict[EventKind, int]:
        """How many events of each kind the timeline contains."""
        return {
            EventKind.NODES: self.timeline,
            EventKind.JOBS: self.job_events,
            EventKind.ADMIN: self.admin_events,
        }
