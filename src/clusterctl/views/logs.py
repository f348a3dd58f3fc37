"""Log lines as text."""

from collections.abc import Callable, Iterator

from clusterctl.api.models import Json, read
from clusterctl.output.output import View
from clusterctl.views.cells import time
from clusterm.schemas import (
    LogLine,
)


def verified(data: Json) -> View:
    """That a log is what it was, if it is."""
    if data["verified"]:
        yield (
            f"the log of job {data['job']} is what it was when the job ended: {data['lines']} lines, "
            f"{data['bytes']} bytes, SHA-256 {data['sha256']}\n"
        )
    if data["verified"] and data["log_incomplete"]:
        yield "some lines were left out of it before the job ended, because it was too large or the disk was full\n"


def log_text(*, timestamps: bool) -> Callable[[Iterator[Json]], Iterator[str]]:
    """Make a writer of log lines."""

    def write(lines: Iterator[Json]) -> Iterator[str]:
        before: LogLine | None = None
        for line in (read(LogLine, item) for item in lines):
            goes_on = before is not None and before.partial and before.seq + 1 == line.seq
            end = "\n" if before is not None and before.partial and not goes_on else ""  # its next part is not wanted
            stamp = f"{time(line.at)}  " if timestamps and not goes_on else ""
            yield end + stamp + line.text + ("" if line.partial else "\n")
            before = line
        if before is not None and before.partial:
            yield "\n"

    return write
