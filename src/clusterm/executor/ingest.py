"""From a step's output into the store: lines with their times, the tasks that wrote them, failures and recap.

What has been read, and how far, is written in one transaction. So whoever goes on after a crash neither loses a line
nor stores one twice.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlmodel import Session

from clusterm import schemas
from clusterm.executor.reader import Line, Reader, Record
from clusterm.executor.wrapper import TIME
from clusterm.states import StepName
from clusterm.store import jobs, logs, tables

_READ_BYTES: Final = 1 << 20  # at the most in one transaction
_FAILED: Final = frozenset({"failed", "unreachable"})

_TaskKey = tuple[str | None, str | None]


class Ingest:
    """Reads one step's output and keeps what is not stored yet.

    Args:
        session: a reading transaction.
        step: the step's row.
        step_directory: where the wrapper writes.
        nonce: marks ansible's records.
        limit: bytes that are kept of the job's log; of a larger one, head and tail.
    """

    def __init__(self, session: Session, step: tables.JobStep, step_directory: Path, nonce: str, limit: int) -> None:
        self.failures: list[dict[str, Any]] = []
        """Failed results that are not in the store yet."""
        self.last_line_at: datetime | None = None
        self._job_id, self._number, self._name = step.job_id, step.number, step.name
        self._output = (step_directory / "output").open("rb")
        self._output.seek(step.offset)
        self._limit = limit
        self._clock = _Clock(step_directory / "times")
        self._reader = Reader(nonce, step.offset)
        self._offset = step.offset
        self._nodes = set(jobs.node_names(session, step.job_id))
        self._seq = jobs.get(session, step.job_id).lines
        self._first_line = step.first_line
        self._unclaimed = step.unclaimed
        self._lines: list[dict[str, Any]] = []
        self._tasks: list[tables.JobTask] = []
        self._last_task = logs.last_task(session, step.job_id)
        self._task_numbers: dict[_TaskKey, int] = logs.task_numbers(session, step.job_id, step.number)
        self._claims: list[tuple[int, int, int | None, str | None]] = []
        self._recap: dict[str, dict[str, int]] | None = None
        self._passed: list[str] | None = None

    @property
    def pending(self) -> bool:
        """Whether there is something to write."""
        return bool(self._lines or self._claims or self._tasks or self.failures or self._recap)

    def read(self) -> bool:
        """Take more of the output, and tell whether there was more."""
        data = self._output.read(_READ_BYTES)
        self._take(self._reader.feed(data))
        return bool(data)

    def finish(self) -> None:
        """Take what is left where the output has ended."""
        self._take(self._reader.close())

    def write(self, session: Session) -> None:
        """Write what is pending; after the transaction was committed, call `written`."""
        logs.append(session, self._lines)
        logs.add_tasks(session, self._tasks)
        for first, last, task, node in self._claims:
            logs.attribute(session, self._job_id, first, last, task=task, node=node)
        job = jobs.get(session, self._job_id)
        job.lines = self._seq
        job.bytes += sum(len(line["text"].encode()) + 1 for line in self._lines)
        if job.bytes > self._limit:
            logs.leave_out(session, job, self._limit)
        if self.failures:
            job.failures = [*job.failures, *self.failures]
        if self._recap:
            job.failures = _confirmed(job.failures, self._name, self._recap)
            job.recap = _sum(job.recap, self._recap)
        step = jobs.step(session, self._job_id, self._number)
        if self._recap:
            step.passed = self._passed
        step.offset, step.unclaimed, step.first_line = self._offset, self._unclaimed, self._first_line

    def written(self) -> None:
        """Forget what is in the store now."""
        self._lines, self._tasks, self._claims, self.failures, self._recap = [], [], [], [], None

    def close(self) -> None:
        """Close the files."""
        self._output.close()
        self._clock.close()

    def _take(self, found: Any) -> None:
        for item in found:
            self._offset = item.end
            if isinstance(item, Line):
                self._take_line(item)
            else:
                self._take_record(item)

    def _take_line(self, line: Line) -> None:
        self._seq += 1
        self._first_line = self._first_line or self._seq
        self._unclaimed = self._unclaimed or self._seq
        self.last_line_at = self._clock.at(line.end)
        self._lines.append(
            {
                "job_id": self._job_id,
                "seq": self._seq,
                "at": self.last_line_at,
                "text": line.text,
                "partial": line.partial,
                "task": None,
                "node": None,
            }
        )

    def _take_record(self, record: Record) -> None:
        data = record.data
        key = (data.get("play"), data.get("task"))
        node = data.get("node")
        if data["event"] in {"play", "task"} or (key not in self._task_numbers and key != (None, None)):
            self._begin_task(key)
        if data["event"] == "result" and data["status"] in _FAILED:
            self.failures.append(
                schemas.Failure(
                    node=str(node),
                    step=self._name,
                    play=key[0],
                    task=key[1],
                    message=data.get("message") or data["status"],
                    line=self._unclaimed,
                ).model_dump(mode="json")
            )
        if data["event"] == "stats":
            self._recap = data["recap"]
            self._passed = self._passed_nodes(data.get("passed"))
        if self._unclaimed is not None:
            self._claim(self._unclaimed, self._task_numbers.get(key), node)
            self._unclaimed = None

    def _passed_nodes(self, passed: Any) -> list[str] | None:
        """Return the nodes of the job that passed; none where something else failed, such as localhost."""
        elsewhere = [counts for name, counts in (self._recap or {}).items() if name not in self._nodes]
        if not isinstance(passed, list) or any(counts["failed"] or counts["unreachable"] for counts in elsewhere):
            return None
        return [node for node in passed if node in self._nodes]

    def _begin_task(self, key: _TaskKey) -> None:
        self._last_task += 1
        self._task_numbers[key] = self._last_task
        self._tasks.append(
            tables.JobTask(job_id=self._job_id, number=self._last_task, step=self._number, play=key[0], name=key[1])
        )

    def _claim(self, first: int, task: int | None, node: str | None) -> None:
        """Say what wrote the lines from `first` on, be they stored already or not."""
        if task is None and node is None:
            return
        stored = self._seq - len(self._lines)
        for line in self._lines[max(0, first - stored - 1) :]:
            line["task"], line["node"] = task, node
        if first <= stored:
            self._claims.append((first, stored, task, node))


class _Clock:
    """Tells when a part of the output came, from the wrapper's `times`."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("rb")
        self._end = 0
        self._at = datetime.now(UTC)

    def at(self, offset: int) -> datetime:
        """Return the time of the part that ends at or after an offset; offsets must not go back."""
        while self._end < offset:
            entry = self._file.read(TIME.size)
            if len(entry) < TIME.size:  # not written yet, or never: the disk was full
                self._file.seek(-len(entry), 1)
                return datetime.now(UTC) if self._end == 0 else self._at
            self._end, nanoseconds = TIME.unpack(entry)
            self._at = datetime.fromtimestamp(nanoseconds / 1e9, UTC)
        return self._at

    def close(self) -> None:
        self._file.close()


def _confirmed(failures: Sequence[dict[str, Any]], step: StepName, recap: dict[str, Any]) -> list[dict[str, Any]]:
    """Leave out a step's failures that were rescued: the recap counts only those that were not."""
    kept: list[dict[str, Any]] = []
    left = {node: counts.get("failed", 0) + counts.get("unreachable", 0) for node, counts in recap.items()}
    for failure in reversed(failures):
        if failure["step"] == step:
            if left.get(failure["node"], 1) < 1:
                continue
            left[failure["node"]] = left.get(failure["node"], 1) - 1
        kept.append(failure)
    return kept[::-1]


def _sum(recap: dict[str, Any], more: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Add the counts of one step to those of the steps before it."""
    total = {node: dict(counts) for node, counts in recap.items()}
    for node, counts in more.items():
        of_node = total.setdefault(node, {})
        for name, count in counts.items():
            of_node[name] = of_node.get(name, 0) + count
    return total
