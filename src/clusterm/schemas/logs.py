"""Log lines."""

from itertools import accumulate
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


class LogMatches(ResponseModel):
    """The numbers of the lines of a log that meet conditions."""

    job: int = Field(description="Id of the job.", examples=[7])
    lines: int = Field(description="Number of the log's last line.", examples=[15000])
    gaps: list[int] = Field(
        description="How much greater each number is than the one before it; the first one, than `after`.",
        examples=[[120, 1, 1, 3000]],
    )
    more: bool = Field(description="More lines follow: ask again with `after` set to the last number.")

    def numbers(self, after: int = 0) -> list[int]:
        """Return the numbers of the lines."""
        return list(accumulate(self.gaps, initial=after))[1:]


class LogEnd(ResponseModel):
    """The last record of a followed log; all requested lines precede it."""

    type: Literal["end"] = Field(default="end", description="Distinguishes the record from lines, which have no type.")
    job: int = Field(description="Id of the job.", examples=[7])
    status: JobStatus = Field(description="If the job is still running, only the requested range is complete.")
    lines: int = Field(description="Number of the log's last line.", examples=[15000])
    log_incomplete: bool
    log_bytes: int | None
    log_sha256: str | None
