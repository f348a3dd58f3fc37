"""Log lines."""

from typing import Literal

from pydantic import (
    Field,
)

from clusterm.enums import JobStatus
from clusterm.schemas.base import ResponseModel, Timestamp


class LogLine(ResponseModel):
    """One line of a job's log."""

    seq: int = Field(description="Its number, from 1.", examples=[1])
    at: Timestamp
    node: str | None = None
    play: str | None = None
    task: str | None = None
    text: str
    partial: bool = Field(default=False, description="The line was cut here for its length; the next one goes on.")


class LogEnd(ResponseModel):
    """The last record of a log that was followed, or of events: no line that was asked for is missing before it."""

    type: Literal["end"] = Field(default="end", description="Tells it from a line, which has no such member.")
    job: int = Field(description="Id of the job.", examples=[7])
    status: JobStatus = Field(description="Has the job not ended, then the lines asked for have.")
    lines: int = Field(description="The number of the log's last line.", examples=[15000])
    log_incomplete: bool
    log_bytes: int | None
    log_sha256: str | None
