"""Store a step's output: lines with their times and tasks, failures and recap.

Lines and the offset up to which the output was read are written in one transaction. So an executor that resumes after
a crash neither loses a line nor stores one twice.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from clusterm import schemas
from clusterm.ansible import ssh
from clusterm.common.ansible_output import is_banner
from clusterm.enums import FAILED_TASKS, StepName, TaskStatus
from clusterm.executor.output.parser import Line, OutputParser, Record
from clusterm.executor.output.records import CallbackRecord, parse
from clusterm.executor.output.task_results import Results
from clusterm.executor.wrapper import TIME
from clusterm.secrets.masking import Masker
from clusterm.store import jobs as job_queries
from clusterm.store import log_lines, tables
from clusterm.store.session import Session

_READ_BYTES: Final = 1 << 20  # maximum per transaction
_MAX_BANNER_LINES: Final = 100  # lines in front of the output of a result
_TEXTS: Final = ("play", "task", "path", "message")
"""Members of a record with text of the playbook."""


class Ingest:
    """Reads one step's output and buffers it until it is stored.

    Args:
        session: a reading transaction.
        step: the step's row.
        step_directory: the directory that the wrapper writes to.
        nonce: the nonce of ansible's records.
        limit: maximum size of the job's log, in bytes; the middle of a larger log is dropped.
        masker: masks secrets.
    """

    def __init__(
        self, session: Session, step: tables.JobStep, step_directory: Path, nonce: str, limit: int, masker: Masker
    ) -> None:
        self.failures: list[dict[str, Any]] = []
        """Failed results that are not stored yet."""
        self.last_line_at: datetime | None = None
        self._job_id, self._number, self._name = step.job_id, step.number, step.name
        self._directory = step_directory.parent
        self._output = (step_directory / "output").open("rb")
        self._output.seek(step.offset)
        self._limit = limit
        self._clock = _Clock(step_directory / "times")
        self._masker = masker
        self._reader = OutputParser(nonce, step.offset, masker)
        self._offset = step.offset
        self._nodes = set(job_queries.node_names(session, step.job_id))
        self._seq = job_queries.get(session, step.job_id).lines
        self._first_line = step.first_line
        self._first_unattributed_line = step.first_unattributed_line
        self._first_own_line: int | None = None
        """First line that no record has attributed yet and that is not part of a banner."""
        self._failed_items: dict[tuple[int | None, str | None], int] = {}
        """First line of the first failed item of each running loop, by task and node."""
        if self._first_unattributed_line is not None:
            stored = log_lines.head(session, step.job_id, self._first_unattributed_line, limit=_MAX_BANNER_LINES)
            self._first_own_line = next((seq for seq, text in stored if not is_banner(text)), None)
        self._lines: list[dict[str, Any]] = []
        self._results = Results(session, step)
        self._claims: list[tuple[int, int, int | None, str | None]] = []
        self._recap: dict[str, dict[str, int]] | None = None
        self._passed: list[str] | None = None

    @property
    def pending(self) -> bool:
        """Whether there is unwritten data."""
        return bool(self._lines or self._claims or self._results.pending or self.failures or self._recap)

    def read(self) -> bool:
        """Read more of the output, and return whether there was any."""
        data = self._output.read(_READ_BYTES)
        self._take(self._reader.feed(data))
        return bool(data)

    def finish(self) -> None:
        """Process the rest of the output after its end."""
        self._take(self._reader.close())

    def write(self, session: Session) -> None:
        """Write the pending data. Call `written` after the transaction is committed."""
        log_lines.append(session, self._lines)
        self._results.write(session, self._recap)
        for first, last, task, node in self._claims:
            log_lines.attribute(session, self._job_id, first, last, task=task, node=node)
        job = job_queries.get(session, self._job_id)
        job.lines = self._seq
        job.bytes += sum(len(line["text"].encode()) + 1 for line in self._lines)
        if job.bytes > self._limit:
            log_lines.leave_out(session, job, self._limit)
        if self.failures:
            job.failures = [*job.failures, *self.failures]
        if self._recap:
            job.failures = _confirmed(job.failures, self._name, self._recap)
            job.recap = _sum(job.recap, self._recap)
        step = job_queries.step(session, self._job_id, self._number)
        if self._recap:
            step.passed = self._passed
        step.offset, step.first_unattributed_line, step.first_line = (
            self._offset,
            self._first_unattributed_line,
            self._first_line,
        )

    def written(self) -> None:
        """Drop the buffered data, which is stored now."""
        self._results.written()
        self._lines, self._claims, self.failures, self._recap = [], [], [], None

    def close(self) -> None:
        """Close the files."""
        self._output.close()
        self._clock.close()

    def _take(self, items: Any) -> None:
        for item in items:
            self._offset = item.end
            if isinstance(item, Line):
                self._take_line(item)
            else:
                self._take_record(item)

    def _take_line(self, line: Line) -> None:
        self._seq += 1
        self._first_line = self._first_line or self._seq
        self._first_unattributed_line = self._first_unattributed_line or self._seq
        if self._first_own_line is None and not is_banner(line.text):
            self._first_own_line = self._seq
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
        callback = parse(_masked(record, self._masker))
        if callback is None:
            return
        if callback.status is TaskStatus.UNREACHABLE and callback.message and callback.node:
            explained = ssh.explain(callback.message, callback.node, self._directory)
            callback = callback.model_copy(update={"message": explained})
        own_line = self._first_own_line
        lines = None if own_line is None else (own_line, self._seq)
        line = self._line_of(callback)
        at = self._clock.at(record.end)
        task = self._results.take(callback, at, lines)
        if callback.status in FAILED_TASKS and callback.node is not None:
            self.failures.append(
                schemas.Failure(
                    node=callback.node,
                    step=self._name,
                    play=callback.play,
                    task=callback.task,
                    message=callback.message or callback.status,
                    line=line,
                ).model_dump(mode="json")
            )
        if callback.recap is not None:
            self._recap = callback.recap
            self._passed = self._passed_nodes(callback)
        if self._first_unattributed_line is not None:
            # ansible may print the banner of a task only with the first result: it belongs to no node.
            self._claim(self._first_unattributed_line, (own_line or self._seq + 1) - 1, task, None)
            if own_line is not None:
                self._claim(own_line, self._seq, task, callback.node)
            self._first_unattributed_line = self._first_own_line = None

    def _passed_nodes(self, callback: CallbackRecord) -> list[str] | None:
        """Return the nodes of the job that passed; None if another host failed, such as localhost."""
        elsewhere = [counts for name, counts in (callback.recap or {}).items() if name not in self._nodes]
        if callback.passed is None or any(counts.get("failed") or counts.get("unreachable") for counts in elsewhere):
            return None
        return [node for node in callback.passed if node in self._nodes]

    def _line_of(self, callback: CallbackRecord) -> int | None:
        """Return the number of the line that reports a result: for a loop, of its first failed item.

        After the last item of a loop, ansible prints nothing.
        """
        item = callback.number, callback.node
        if callback.event == "item" and callback.failed and self._first_own_line is not None:
            self._failed_items.setdefault(item, self._first_own_line)
        if callback.event != "result":
            return None
        return self._failed_items.pop(item, self._first_own_line) or self._results.first_line(callback)

    def _claim(self, first: int, last: int, task: int | None, node: str | None) -> None:
        """Attribute the lines from `first` to `last`, stored or not, to a task and node."""
        if first > last or (task is None and node is None):
            return
        stored = self._seq - len(self._lines)
        for line in self._lines[max(0, first - stored - 1) : max(0, last - stored)]:
            line["task"], line["node"] = task, node
        if first <= stored:
            self._claims.append((first, min(last, stored), task, node))


class _Clock:
    """Looks up the time of a part of the output in the wrapper's `times`."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("rb")
        self._end = 0
        self._at = datetime.now(UTC)

    def at(self, offset: int) -> datetime:
        """Return the time of the part that ends at or after an offset; offsets must not decrease."""
        while self._end < offset:
            entry = self._file.read(TIME.size)
            if len(entry) < TIME.size:  # not written yet, or lost because the disk was full
                self._file.seek(-len(entry), 1)
                return datetime.now(UTC) if self._end == 0 else self._at
            self._end, nanoseconds = TIME.unpack(entry)
            self._at = datetime.fromtimestamp(nanoseconds / 1e9, UTC)
        return self._at

    def close(self) -> None:
        self._file.close()


def _masked(record: Record, masker: Masker) -> dict[str, Any]:
    """Return a record's data with secrets masked. Cut texts are masked here, because the parser misses a cut secret."""
    texts = {name: text for name in _TEXTS if isinstance(text := record.data.get(name), str)}
    hidden = {name: masker.mask(text) for name, text in texts.items() if record.secret or "…" in text}
    return {**record.data, **hidden}


def _confirmed(failures: Sequence[dict[str, Any]], step: StepName, recap: dict[str, Any]) -> list[dict[str, Any]]:
    """Remove a step's rescued failures: the recap counts only failures that were not rescued."""
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
    """Add the counts of one step to the counts of earlier steps."""
    total = {node: dict(counts) for node, counts in recap.items()}
    for node, counts in more.items():
        of_node = total.setdefault(node, {})
        for name, count in counts.items():
            of_node[name] = of_node.get(name, 0) + count
    return total
