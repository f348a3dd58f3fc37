"""The spans of an ended job, made from the store: the job, its steps, their plays and tasks.

The ids of the spans are derived from that of the job. So a job that is exported twice has the same spans both times.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from clusterm.common.redaction import redact_text
from clusterm.enums import FAILED_TASKS, JobStatus, TaskStatus
from clusterm.store import job_records, tables, telemetry
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.job_records import JobRecord

MAX_TASKS: Final = 5000
"""Tasks of a job that have a span: the first ones."""

_MAX_NODES: Final = 100
"""Nodes that a span names."""

_MAX_RESULTS: Final = 5
"""Failed nodes of a task that its span has as events, and as many of the slowest."""

_MAX_TEXT_LENGTH: Final = 1000
"""Characters of an error or message."""

_PAGE: Final = 100
"""Tasks that are read at once."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Attributes = dict[str, str | bool | int | float | Sequence[str]]


@dataclass(frozen=True)
class JobSpans:
    """Makes the spans of one job.

    Args:
        record: the job, which has ended.
        resource: the service.
        scope: the version of clusterm.
    """

    record: JobRecord
    resource: Resource
    scope: InstrumentationScope

    def context(self, span_id: int) -> SpanContext:
        """Return the context of one of the spans."""
        return _context(self.record.row.trace_id, span_id)

    @property
    def job_id(self) -> int:
        """The id of the span of the job itself."""
        return int(self.record.row.span_id or "0", 16)

    def step_id(self, number: int) -> int:
        """Return the id of the span of a step."""
        return self._derive(f"step {number}")

    def task_id(self, number: int) -> int:
        """Return the id of the span of a task or play."""
        return self._derive(f"task {number}")

    def all(self, store: Store) -> Iterator[ReadableSpan]:
        """Yield the spans, each after the one above it except for plays, whose end is that of their tasks."""
        with store.read() as session:
            number = telemetry.count_tasks(session, self.record.row.id)
            retried = self.record.row.retry_of and job_queries.find(session, self.record.row.retry_of)
        yield self._of_job(number, retried or None)
        for step in self.record.steps:
            yield self._of_step(step)
        yield from self._of_tasks(store)

    def _of_job(self, tasks: int, retried: tables.Job | None) -> ReadableSpan:
        job = self.record.row
        attributes: Attributes = {
            "clusterm.job.id": job.id,
            "clusterm.job.action": str(job.action),
            "clusterm.job.status": str(job.status),
            "clusterm.job.requested_by": job.requested_by,
            "clusterm.job.check": job.check,
            "clusterm.job.node_count": len(self.record.nodes),
            "clusterm.job.nodes": self.record.names[:_MAX_NODES],
            "clusterm.job.task_count": tasks,
        }
        attributes |= {
            f"clusterm.job.{name}": value
            for name, value in {
                "host_group": job.host_group,
                "error": _text(job.error),
                "retry_of": job.retry_of,
                "queued_seconds": job.waited,
                "omitted_task_count": max(tasks - MAX_TASKS, 0),
            }.items()
            if value
        }
        started = [] if job.started_at is None else [Event("started", timestamp=nanoseconds(job.started_at))]
        linked = [Link(_context(retried.trace_id, int(retried.span_id, 16)))] if retried and retried.span_id else []
        status = {JobStatus.COMPLETE: Status(StatusCode.OK), JobStatus.ERRORED: _error(job.error)}
        parent = _context(job.trace_id, int(job.parent_span_id, 16), remote=True) if job.parent_span_id else None
        return self._span(
            str(job.action),
            self.job_id,
            parent,
            (job.created_at, job.finished_at),
            attributes,
            status.get(job.status, Status()),
            events=started,
            links=linked,
        )

    def _of_step(self, step: tables.JobStep) -> ReadableSpan:
        attributes: Attributes = {"clusterm.step.number": step.number, "clusterm.step.playbook": step.playbook}
        attributes |= {
            f"clusterm.step.{name}": value
            for name, value in {
                "batch": step.batch,
                "exit_status": step.exit_status,
                "error": _text(step.error or "") or None,
            }.items()
            if value is not None
        }
        status = _error(step.error or f"exit status {step.exit_status}") if step.error or step.exit_status else _PASSED
        parent = self.context(self.job_id)
        return self._span(
            str(step.name), self.step_id(step.number), parent, (step.started_at, step.finished_at), attributes, status
        )

    def _of_tasks(self, store: Store) -> Iterator[ReadableSpan]:
        """Yield the spans of tasks, and after them that of their play."""
        play: _Play | None = None
        after = taken = 0
        while taken < MAX_TASKS:
            with store.read() as session:
                page = telemetry.tasks(session, self.record.row.id, after=after, limit=_PAGE)
                if not page:
                    break
                bounds = (page[0].number, page[-1].number)
                counts = telemetry.result_counts(session, self.record.row.id, *bounds)
                notable = telemetry.notable_results(session, self.record.row.id, *bounds, _MAX_RESULTS)
            after = page[-1].number
            for task in page:
                if play is not None and (task.name is None or task.step != play.row.step):
                    yield self._of_play(play)
                    play = None
                if task.name is None:
                    play = _Play(task)
                    continue
                taken += 1
                if taken > MAX_TASKS:
                    break
                span = self._of_task(task, play, counts.get(task.number, {}), notable.get(task.number, ()))
                if play is not None:
                    play.spans.append((span.end_time or 0, span.status.status_code is StatusCode.ERROR))
                yield span
        if play is not None:
            yield self._of_play(play)

    def _of_play(self, play: "_Play") -> ReadableSpan:
        row = play.row
        begin = row.started_at or self._start_of(row.step)
        failed = any(has_failed for _, has_failed in play.spans)
        end = max((moment for moment, _ in play.spans), default=nanoseconds(begin))
        return self._span(
            row.play or "play",
            self.task_id(row.number),
            self.context(self.step_id(row.step)),
            (begin, _EPOCH + timedelta(microseconds=end // 1000)),
            {"clusterm.play.task_count": len(play.spans)},
            _error("tasks have failed") if failed else _PASSED,
        )

    def _of_task(
        self,
        task: tables.JobTask,
        play: "_Play | None",
        counts: Mapping[TaskStatus | None, int],
        notable: Sequence[Mapping[str, Any]],
    ) -> ReadableSpan:
        total = sum(counts.values())
        attributes: Attributes = {"clusterm.task.number": task.number, "clusterm.task.node_count": total}
        if task.path:
            attributes["code.file.path"] = task.path
        for status, number in counts.items():
            attributes[f"clusterm.task.results.{status or 'unfinished'}"] = number
        failed = sum(counts.get(status, 0) for status in FAILED_TASKS)
        begin = task.started_at or self._start_of(task.step)
        # It ends with its step if a node was still busy then; without results, such as those of `meta`, at once.
        ended = self._end_of(task.step) if None in counts else task.finished_at or begin
        parent = self.step_id(task.step) if play is None else self.task_id(play.row.number)
        return self._span(
            task.name or "task",
            self.task_id(task.number),
            self.context(parent),
            (begin, ended),
            attributes,
            _error(f"failed on {failed} of {total} nodes") if failed else _PASSED,
            events=[_event_of(result, begin) for result in notable],
        )

    def _start_of(self, step: int) -> datetime:
        found = [each.started_at for each in self.record.steps if each.number == step and each.started_at]
        return found[0] if found else self.record.row.created_at

    def _end_of(self, step: int) -> datetime | None:
        found = [each.finished_at for each in self.record.steps if each.number == step and each.finished_at]
        return found[0] if found else self.record.row.finished_at

    def _derive(self, what: str) -> int:
        job = self.record.row
        digest = hashlib.sha256(f"{job.trace_id} {job.span_id} {what}".encode()).digest()
        return int.from_bytes(digest[:8]) or 1

    def _span(
        self,
        name: str,
        span_id: int,
        parent: SpanContext | None,
        times: tuple[datetime | None, datetime | None],
        attributes: Attributes,
        status: Status,
        *,
        events: Sequence[Event] = (),
        links: Sequence[Link] = (),
    ) -> ReadableSpan:
        start = nanoseconds(times[0] or self.record.row.created_at)
        end = nanoseconds(times[1] or self.record.row.created_at)
        return ReadableSpan(
            name=name,
            context=self.context(span_id),
            parent=parent,
            resource=self.resource,
            attributes=attributes,
            events=events,
            links=links,
            status=status,
            start_time=start,
            end_time=max(start, end),  # the clock may have been set back
            instrumentation_scope=self.scope,
        )


@dataclass
class _Play:
    """A play whose tasks are being read."""

    row: tables.JobTask
    spans: list[tuple[int, bool]] = field(default_factory=list)
    """The end of each of its tasks, and whether the task has failed."""


_PASSED: Final = Status(StatusCode.OK)


def nanoseconds(moment: datetime) -> int:
    """Return a time in nanoseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def load(store: Store, job_id: int, resource: Resource, scope: InstrumentationScope) -> JobSpans:
    """Read a job of which to make spans.

    Raises:
        NotFound: retention has deleted the job.
    """
    with store.read() as session:
        return JobSpans(job_records.load(session, job_queries.get(session, job_id)), resource, scope)


def _context(trace_id: str | None, span_id: int, *, remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id or "0", 16), span_id, is_remote=remote, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _event_of(result: Mapping[str, Any], begin: datetime) -> Event:
    """Return the event for the result of a task on a node."""
    start, end = result["started_at"], result["finished_at"]
    attributes: Attributes = {"clusterm.node": result["node"]}
    if start and end:
        attributes["clusterm.seconds"] = max((end - start).total_seconds(), 0.0)
    if result["message"]:
        attributes["clusterm.message"] = _text(result["message"])
    if result["first_line"]:
        attributes["clusterm.line"] = result["first_line"]
    return Event(str(result["status"] or "unfinished"), attributes, nanoseconds(end or start or begin))


def _error(text: str) -> Status:
    return Status(StatusCode.ERROR, _text(text))


def _text(text: str) -> str:
    shown = redact_text(text)
    return shown if len(shown) <= _MAX_TEXT_LENGTH else f"{shown[: _MAX_TEXT_LENGTH - 1]}…"
