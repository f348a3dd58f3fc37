"""Log lines."""

from typing import Literal

from pydantic import (
    Field,
)

from clusterm.enums import JobStatus
from clusterm.schemas.base import ResponseModel, Timestamp


class LogLine(ResponseModel):
    """One line of a job's log."""

    seq: int = Field(description="Line number, from 1.", examples=[1])
    at: Timestamp
    node: str | None = None
    play: str | None = None
    task: str | None = None
    text: str
    partial: bool = Field(
        default=False, description="True if a long line was split here; the next record continues it."
    )


class LogEnd(ResponseModel):
    """The last record of a followed log; all requested lines precede it."""

    type: Literal["end"] = Field(default="end", description="Distinguishes the record from lines, which have no type.")
    job: int = Field(description="Id of the job.", examples=[7])
    status: JobStatus = Field(description="If the job is still running, only the requested range is complete.")
    lines: int = Field(description="Number of the log's last line.", examples=[15000])
    log_incomplete: bool
    log_bytes: int | None
    log_sha256: str | None
