"""Section `retention`."""

from pydantic import (
    Field,
)

from clusterm.settings.base import GIB, KIB, MIB, Section


class RetentionSettings(Section):
    """How much is kept. A node's last successful and last failed job are kept in any case."""

    jobs: int = Field(default=100, ge=1, description="Jobs that have ended.")
    days: float = Field(default=0, ge=0, description="Days after its end that a job is kept. 0: no limit.")
    log_bytes: int = Field(default=GIB, ge=MIB, description="Bytes of all logs together.")
    job_log_bytes: int = Field(
        default=256 * MIB, ge=64 * KIB, description="Bytes of one job's log; of a larger one head and tail are kept."
    )
    timeline: int = Field(default=1000, ge=1, le=10**6, description="Events that the timeline reaches back.")
    node_events: int = Field(default=1000, ge=1, le=10**6, description="Events kept of each node.")
