"""Views of log lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from clusterctl.api.models import Json, read
from clusterctl.output.output import View
from clusterctl.views.cells import time
from clusterm import schemas


def verified(data: Json) -> View:
    """Return that a log was verified; empty if it was not."""
    if data["verified"]:
        yield (
            f"the log of job {data['job']} is what it was when the job ended: {data['lines']} lines, "
            f"{data['bytes']} bytes, SHA-256 {data['sha256']}\n"
        )
    if data["verified"] and data["log_incomplete"]:
        yield "some lines were dropped while the job ran, because the log was too large or the disk was full\n"


def log_text(*, timestamps: bool) -> Callable[[Iterator[Json]], Iterator[str]]:
    """Return a function that turns log lines into text.

    Args:
        timestamps: whether to begin each line with its time.
    """

    def write(lines: Iterator[Json]) -> Iterator[str]:
        before: schemas.LogLine | None = None
        for line in (read(schemas.LogLine, item) for item in lines):
            goes_on = before is not None and before.partial and before.seq + 1 == line.seq
            is_cut = before is not None and before.partial and not goes_on  # a filter left out the rest of the line
            end = "\n" if is_cut else ""
            stamp = f"{time(line.at)}  " if timestamps and not goes_on else ""
            yield end + stamp + line.text + ("" if line.partial else "\n")
            before = line
        if before is not None and before.partial:
            yield "\n"

    return write
