"""The log records of an ended job: one for each line of its log, in the span of its task or step."""

from collections.abc import Iterator
from typing import Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.trace import NonRecordingSpan, set_span_in_context

from clusterm.store import telemetry
from clusterm.store.engine import Store
from clusterm.telemetry.spans import JobSpans, nanoseconds

_LINES: Final = 1000
"""Lines of a batch."""


def batches(store: Store, spans: JobSpans) -> Iterator[list[ReadableLogRecord]]:
    """Yield the log records of a job."""
    after, job = 0, spans.record.row
    steps = [step for step in spans.record.steps if step.first_line is not None]
    while True:
        with store.read() as session:
            lines = telemetry.lines(session, job.id, after=after, limit=_LINES)
        if not lines:
            return
        after = lines[-1]["seq"]
        records = []
        for line in lines:
            if line["task"] is None:
                begun = [step.number for step in steps if (step.first_line or 0) <= line["seq"]]
                span_id = spans.step_id(begun[-1]) if begun else spans.job_id
            else:
                span_id = spans.task_id(line["task"])
            attributes: dict[str, str | int] = {"clusterm.job.id": job.id, "clusterm.line": line["seq"]}
            if line["node"]:
                attributes["clusterm.node"] = line["node"]
            at = nanoseconds(line["at"])
            record = LogRecord(
                timestamp=at,
                observed_timestamp=at,
                context=set_span_in_context(NonRecordingSpan(spans.context(span_id))),
                severity_number=SeverityNumber.INFO,
                severity_text="INFO",
                body=line["text"],
                attributes=attributes,
            )
            records.append(ReadableLogRecord(record, spans.resource, spans.scope))
        yield records
