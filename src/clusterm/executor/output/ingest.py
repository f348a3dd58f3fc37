"""Store a step's output: lines with their times and tasks, failures and recap.

Lines and the offset up to which the output was read are written in one transaction. So an executor that resumes after
a crash neither loses a line nor stores one twice.
"""

import contextlib
import os
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from clusterm import schemas
from clusterm.ansible import ssh
from clusterm.ansible.job_spec import JobSpec
from clusterm.common.ansible_output import is_banner, is_trace
from clusterm.enums import FAILED_TASKS, TaskStatus
from clusterm.executor.output.parser import Line, OutputParser, Record
from clusterm.executor.output.records import EVENTS_WITHOUT_LINES, CallbackRecord, Outcome, parse
from clusterm.executor.output.space import release_space
from clusterm.executor.output.task_results import Results
from clusterm.executor.wrapper import TIME
from clusterm.secrets.masking import Masker
from clusterm.store import failures, log_lines, tables
from clusterm.store import jobs as job_queries
from clusterm.store.session import Session

_READ_BYTES: Final = 1 << 20  # maximum per transaction
_RELEASE_BYTES: Final = 1 << 20  # stored output whose space is returned to the disk at a time
_MAX_BANNER_LINES: Final = 100  # lines in front of the output of a result
_TEXTS: Final = ("play", "task", "path", "message")
"""Members of a record with text of the playbook."""


class Ingest:
    """Reads one step's output and buffers it until it is stored.

    Args:
        session: a reading transaction.
        step: the step's row.
        nodes: the step's nodes.
        step_directory: the directory that the wrapper writes to.
        spec: the job's specification, with the nonce of ansible's records, the maximum size of the job's log in bytes
            (the middle of a larger log is dropped), and whether a node passes only if a play is for it.
        masker: masks secrets.
    """

    def __init__(
        self,
        session: Session,
        step: tables.JobStep,
        nodes: Collection[str],
        step_directory: Path,
        spec: JobSpec,
        masker: Masker,
    ) -> None:
        self.failures: list[schemas.Failure] = []
        """Failed results that are not stored yet."""
        self.last_line_at: datetime | None = None
        self._job_id, self._number, self._name, self._playbook = step.job_id, step.number, step.name, step.playbook
        self._nodes = nodes
        self._directory = step_directory.parent
        self._output = (step_directory / "output").open("r+b")
        self._output.seek(step.offset)
        self._limit = spec.retention.job_log_bytes
        self._every_node_needs_a_play = spec.every_node_needs_a_play
        self._clock = _Clock(step_directory / "times")
        self._masker = masker
        self._reader = OutputParser(spec.nonce, step.offset, masker)
        self._offset = self._stored = self._released = step.offset
        job = job_queries.get(session, step.job_id)
        self._seq = job.lines
        self._known_warnings = set(job.warnings)
        self._first_line = step.first_line
        self._first_unattributed_line = step.first_unattributed_line
        self._first_own_line: int | None = None
        """First line that no record has attributed yet and that is not part of a banner."""
        self._first_result_line: int | None = None
        """First of these lines that is about a result."""
        self._failed_items: dict[tuple[int | None, str | None], int] = {}
        """First line of the first failed item of each running loop, by task and node."""
        if self._first_unattributed_line is not None:
            stored = log_lines.head(session, step.job_id, self._first_unattributed_line, limit=_MAX_BANNER_LINES)
            for seq, text in stored:
                self._note_line(seq, text)
        self._lines: list[dict[str, Any]] = []
        self._results = Results(session, step)
        self._claims: list[tuple[int, int, int | None, str | None]] = []
        self._cleared: set[str] = set()
        self._warnings: list[str] = []
        self._stats: list[CallbackRecord] = []

    @property
    def pending(self) -> bool:
        """Whether there is unwritten data."""
        buffers = (self._lines, self._claims, self.failures, self._cleared, self._warnings, self._stats)
        return any(buffers) or self._results.pending

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
        step = job_queries.step(session, self._job_id, self._number)
        if step.offset == self._offset != self._stored:
            return  # the connection was lost during a commit, which had succeeded
        log_lines.append(session, self._lines)
        self._results.write(session)
        for first, last, task, node in self._claims:
            log_lines.attribute(session, self._job_id, first, last, task=task, node=node)
        job = job_queries.get(session, self._job_id)
        log_lines.count(session, job, self._lines, self._limit)
        failures.remove(session, self._job_id, self._name, self._cleared)
        failures.add(session, self._job_id, self.failures)
        for warning in self._warnings:
            job_queries.warn(job, warning)
        for stats in self._stats:
            job.recap = _sum(job.recap, stats.recap or {})
            if stats.nodes is not None:
                self._settle(session, step, stats.nodes)
        step.offset, step.first_unattributed_line, step.first_line = (
            self._offset,
            self._first_unattributed_line,
            self._first_line,
        )

    def written(self) -> None:
        """Drop the buffered data, which is stored now, and return the space of the stored output to the disk."""
        self._results.written()
        self._stored = self._offset
        self._lines, self._claims, self.failures, self._stats = [], [], [], []
        self._cleared, self._warnings = set(), []
        if self._offset - self._released >= _RELEASE_BYTES:
            release_space(self._output.fileno(), self._offset - 1)  # a wrapper that takes over reads the last byte
            self._clock.release()
            self._released = self._offset

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
        self._note_line(self._seq, line.text)
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

    def _note_line(self, number: int, text: str) -> None:
        if self._first_own_line is None and not is_banner(text):
            self._first_own_line = number
        if self._first_result_line is None and not is_banner(text) and not is_trace(text):
            self._first_result_line = number

    def _take_record(self, record: Record) -> None:
        callback = parse(_masked(record, self._masker))
        if callback is None:
            return
        if callback.status is TaskStatus.UNREACHABLE and callback.message and callback.node:
            explained = ssh.explain(callback.message, self._directory)
            callback = callback.model_copy(update={"message": explained})
        if callback.event in EVENTS_WITHOUT_LINES:
            self._take_decision(callback, record.end)
            return
        own_line = self._first_own_line
        lines = None if own_line is None else (own_line, self._seq)
        line = self._line_of(callback)
        at = self._clock.at(record.end)
        task = self._results.take(callback, at, lines)
        if callback.status in FAILED_TASKS and callback.node is not None:
            self._fail(callback.node, callback, callback.message or callback.status, line)
        if callback.recap is not None:
            self._take_stats(callback)
        if self._first_unattributed_line is not None:
            # ansible may print the banner of a task only with the first result: it belongs to no node.
            self._claim(self._first_unattributed_line, (own_line or self._seq + 1) - 1, task, None)
            if own_line is not None:
                self._claim(own_line, self._seq, task, callback.node)
            self._first_unattributed_line = self._first_own_line = self._first_result_line = None

    def _take_decision(self, callback: CallbackRecord, end: int) -> None:
        """Take a record about what ansible has decided after a task, or about an error of the plugin."""
        if callback.event == "error":
            self._take_error((callback.message or "").replace("\0", "\\x00"), end)
        elif callback.node is not None and callback.event == "stopped":
            self._fail(callback.node, callback, callback.message, line=None)
        elif callback.node is not None:
            self.failures = [failure for failure in self.failures if failure.node != callback.node]
            self._cleared.add(callback.node)
            if callback.event == "cleared":
                self._results.clear(callback.node)

    def _take_stats(self, callback: CallbackRecord) -> None:
        self._stats.append(callback)
        if callback.nodes is not None and self._every_node_needs_a_play:
            for node in self._nodes:
                if node not in callback.nodes:
                    self._fail(node, None, f"no play in {self._playbook} is for this node", line=None)

    def _fail(self, node: str, task: CallbackRecord | None, message: str | None, line: int | None) -> None:
        """Add a failure of a node, by a task or, if that is None, by the playbook as a whole."""
        failure = schemas.Failure(
            node=node,
            step=self._name,
            play=task and task.play,
            task=task and task.task,
            message=message or "",
            line=line,
        )
        self.failures.append(failure)

    def _take_error(self, error: str, end: int) -> None:
        """Tell in the job and in its log, once for each message, that the plugin failed."""
        warning = f"clusterm's callback plugin failed in {self._name} ({self._playbook}): {error}"
        if warning not in self._known_warnings:
            self._known_warnings.add(warning)
            self._warnings.append(warning)
            self._take_line(Line(end, f"[clusterm: {warning}]", partial=False))

    def _settle(self, session: Session, step: tables.JobStep, outcomes: Mapping[str, Outcome]) -> None:
        """Store which nodes passed, and drop the failures that did not fail their nodes in the end."""
        # A failure that ansible counts may be handled: a missing include in a block with a rescue section is.
        passed = {host for host, outcome in outcomes.items() if outcome == "passed"}
        failures.remove(session, self._job_id, self._name, passed)
        step.without_play = [node for node in self._nodes if node not in outcomes]
        missed = step.without_play if self._every_node_needs_a_play else []
        elsewhere = {outcome for host, outcome in outcomes.items() if host not in self._nodes}
        if elsewhere & {"failed", "unreachable"}:  # such as localhost
            step.passed = []
        else:
            passed |= set(step.without_play)
            step.passed = [node for node in self._nodes if node in passed and node not in missed]

    def _line_of(self, callback: CallbackRecord) -> int | None:
        """Return the number of the line that reports a result: for a loop, of its first failed item.

        After the last item of a loop, ansible prints nothing.
        """
        item = callback.number, callback.node
        if callback.event == "item" and callback.failed and self._first_result_line is not None:
            self._failed_items.setdefault(item, self._first_result_line)
        if callback.event != "result":
            return None
        return self._failed_items.pop(item, self._first_result_line) or self._results.first_line(callback)

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
        self._file = file.open("r+b")
        with contextlib.suppress(OSError):  # it is empty
            self._file.seek(os.lseek(self._file.fileno(), 0, os.SEEK_DATA))  # after the part that was released
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

    def release(self) -> None:
        """Return the space of the times before the last one to the disk."""
        release_space(self._file.fileno(), self._file.tell() - TIME.size)

    def close(self) -> None:
        self._file.close()


def _masked(record: Record, masker: Masker) -> dict[str, Any]:
    """Return a record's data with secrets masked. Cut texts are masked here, because the parser misses a cut secret."""
    texts = {name: text for name in _TEXTS if isinstance(text := record.data.get(name), str)}
    hidden = {name: masker.mask(text) for name, text in texts.items() if record.secret or "…" in text}
    return {**record.data, **hidden}


def _sum(recap: dict[str, Any], more: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Add the counts of one step to the counts of earlier steps."""
    total = {node: dict(counts) for node, counts in recap.items()}
    for node, counts in more.items():
        of_node = total.setdefault(node, {})
        for name, count in counts.items():
            of_node[name] = of_node.get(name, 0) + count
    return total
