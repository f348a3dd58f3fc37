"""Exports ended jobs to a collector, one after the other in the order of their end.

What is to be exported is in the store, and the store records how far that is done. So neither the end of the service
nor a collector that is down loses a trace, and nothing waits in memory.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import islice
from typing import Final

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from clusterm.common.background_task import PeriodicTask
from clusterm.common.backoff import Backoff
from clusterm.errors import NotFound
from clusterm.settings import TelemetrySettings
from clusterm.store import jobs as job_queries
from clusterm.store import tables, telemetry
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError
from clusterm.store.telemetry import Progress
from clusterm.telemetry import log_records
from clusterm.telemetry.collector import Collector, CollectorUnavailable, DataRefused
from clusterm.telemetry.spans import JobSpans, load

log = logging.getLogger(__name__)

_INTERVAL_S: Final = 1.0
_STOP_TIMEOUT_S: Final = 5.0
_FIRST_RETRY_DELAY_S: Final = 1.0
_MAX_RETRY_DELAY_S: Final = 300.0
_MAX_RETRY_AFTER_S: Final = 3600.0
"""Seconds of a Retry-After that are respected."""

_SPANS: Final = 256
"""Spans of a batch."""


class TelemetryExporter(PeriodicTask):
    """Exports ended jobs in a thread of its own. While the collector fails, so does this task.

    Args:
        store: the store.
        settings: the settings.
    """

    def __init__(self, store: Store, settings: TelemetrySettings) -> None:
        expected = (OSError, StoreError, CollectorUnavailable)
        super().__init__("telemetry_exporter", _INTERVAL_S, stop_timeout=_STOP_TIMEOUT_S, expected=expected)
        self._store = store
        self._settings = settings
        self._collector = Collector(settings)
        self._sampler = TraceIdRatioBased(settings.sample_ratio)
        about = {"service.name": "clusterm", "service.version": version("clusterm")}
        self._resource = Resource.create(about).merge(OTELResourceDetector().detect())
        self._scope = InstrumentationScope("clusterm", version("clusterm"))
        self._backoff = Backoff(_FIRST_RETRY_DELAY_S, _MAX_RETRY_DELAY_S, jitter=0.5)
        self._failure: CollectorUnavailable | None = None
        self._begun = False
        self._drops = False
        """Whether the last job was dropped."""
        self._dropped: int | None = None
        """Number of dropped jobs, of all services, that this one knows; None before its first run."""

    def start(self) -> None:
        """Start the thread. The jobs that end from now on are exported."""
        try:
            self._begin()
        except StoreError as error:
            log.error("cannot record which traces to export, retrying: %s", error)  # noqa: TRY400
        super().start()

    def stop(self) -> None:
        """Stop, without waiting for the collector. The next service exports the rest."""
        self._stopping.set()
        self._collector.close()
        super().stop()

    def run(self) -> None:
        """Export the jobs that have ended.

        Raises:
            CollectorUnavailable: the collector fails, or has failed and is not asked again yet.
        """
        if not self._begun:
            self._begin()
        while not self.is_stopping:
            with self._store.read() as session:
                progress = telemetry.progress(session)
                job = telemetry.next_job(session, progress)
            self._report_deleted(progress)
            if job is None:
                return
            if self._failure is not None and not self._backoff.is_over():
                raise self._failure
            self._serve(job, progress.batches)

    def _begin(self) -> None:
        with self._store.write() as session:
            telemetry.begin(session)
        self._begun = True

    def _serve(self, job: tables.Job, batches: int) -> None:
        """Export a job, of which the first batches are exported, or drop it.

        Raises:
            CollectorUnavailable: it is to be exported later.
        """
        sampled = self._is_sampled(job)
        try:
            dropped = self._try(job, batches) if sampled else None
        except NotFound:
            return  # it was deleted meanwhile
        except CollectorUnavailable as error:
            if self.is_stopping:
                return
            self._failure = error
            self._backoff.fail(at_least=min(error.retry_after, _MAX_RETRY_AFTER_S))
            if not self._is_too_old(job):
                raise
            dropped = f"job {job.id} ended more than {self._settings.give_up_after:g} days ago, and {error}"
        exported = sampled and dropped is None
        if dropped is not None:
            self._dropped = self._dropped + 1 if self._dropped is not None else None
            self._report(1, dropped)
        elif exported:
            self._drops, self._failure = False, None
            self._backoff.reset()
        with self._store.write() as session:
            telemetry.record_job(session, job, exported=exported, dropped=dropped is not None)

    def _try(self, job: tables.Job, batches: int) -> str | None:
        """Export a job. Return why it never can be exported, or None; see `_export` for other failures."""
        try:
            self._export(job.id, batches)
        except DataRefused as error:
            if self.is_stopping:
                raise CollectorUnavailable("the service stops") from None
            return f"job {job.id} is rejected: {error}"
        except (CollectorUnavailable, NotFound, OSError, StoreError):
            raise
        except Exception as error:
            log.exception("the trace of job %d cannot be made. Please report this", job.id)
            return f"job {job.id} failed: {error!r}"
        return None

    def _export(self, job_id: int, batches: int) -> None:
        """Send the batches of a job that were not sent yet.

        Raises:
            CollectorUnavailable: the collector took only a part of them.
            DataRefused: the collector rejects one of them.
            NotFound: the job was deleted.
        """
        spans = load(self._store, job_id, self._resource, self._scope)
        for number, batch in enumerate(self._batches(spans), start=1):
            if number <= batches:
                continue
            if self.is_stopping:
                raise CollectorUnavailable("the service stops")
            self._collector.send(batch)
            with self._store.write() as session:
                telemetry.record_batches(session, number)
        with self._store.read() as session:
            job_queries.get(session, job_id)  # else parts of it may have been deleted before they were read

    def _batches(self, spans: JobSpans) -> Iterator[Sequence[ReadableSpan] | Sequence[ReadableLogRecord]]:
        """Yield what is to be sent of a job, in the same batches each time."""
        made = spans.all(self._store)
        while batch := list(islice(made, _SPANS)):
            yield batch
        if self._settings.logs:
            yield from log_records.batches(self._store, spans)

    def _is_sampled(self, job: tables.Job) -> bool:
        if job.trace_id is None or job.span_id is None:  # an earlier version accepted it
            return False
        if job.parent_span_id is not None:
            return job.sampled
        decision = self._sampler.should_sample(None, int(job.trace_id, 16), str(job.action)).decision
        return decision is Decision.RECORD_AND_SAMPLE

    def _is_too_old(self, job: tables.Job) -> bool:
        age = datetime.now(UTC) - (job.finished_at or job.created_at)
        return age > timedelta(days=self._settings.give_up_after)

    def _report_deleted(self, progress: Progress) -> None:
        """Log that the retention has deleted jobs before they were exported."""
        before, self._dropped = self._dropped, progress.dropped
        if before is not None and progress.dropped > before:
            self._report(progress.dropped - before, "the retention has deleted the jobs before they were exported")

    def _report(self, number: int, reason: str) -> None:
        """Log that traces are dropped, once until one is exported again."""
        if not self._drops:
            log.error("dropped the trace of %d %s: %s", number, "job" if number == 1 else "jobs", reason)
        self._drops = True
