"""Metrics for Prometheus about jobs, nodes, logs, the store, background tasks and requests.

Names follow Prometheus' conventions (https://prometheus.io/docs/practices/naming/). Metrics of the store are read at
each scrape, so a restart does not reset them; counters of requests and background tasks start at zero.
"""

import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import product
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from clusterm.common.background_task import TaskStatus
from clusterm.common.elapsed import seconds_since
from clusterm.enums import ENDED, Action, JobStatus, State, Status
from clusterm.observability import health
from clusterm.schemas import HealthCheck
from clusterm.settings import ManagerSettings
from clusterm.store import counters, log_lines, nodes, outbox, tables, telemetry
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

HTTP_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
OTHER_LABEL: Final = "other"
"""Label of all unknown methods and paths, because clients must not be able to create labels."""


class Metrics:
    """The metrics of one service.

    Args:
        store: the store.
        manager: the settings of the state directory, whose free space is measured.
        checks: runs the health checks.
        tasks: returns the present status of the background tasks.
        lost_executors: returns the number of executors that died before their jobs had ended.
        certificate_expiry: returns when the certificate in use expires; None without one.
    """

    def __init__(
        self,
        store: Store,
        manager: ManagerSettings,
        *,
        checks: Callable[[], Mapping[str, HealthCheck]],
        tasks: Callable[[], Iterable[TaskStatus]],
        lost_executors: Callable[[], int],
        certificate_expiry: Callable[[], datetime | None],
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the number of series without a use
        self._registry = CollectorRegistry()
        self._registry.register(_StoreCollector(store, manager))
        self._registry.register(_HealthCollector(checks, lost_executors))
        self._registry.register(_TaskCollector(tasks))
        self._registry.register(_CertificateCollector(certificate_expiry))
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "clusterm_http_requests",
            "Answered requests.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self.durations = Histogram(
            "clusterm_http_request_duration_seconds",
            "Time from a request to the start of its answer.",
            ("method", "route"),
            registry=self._registry,
        )
        self.followers = Gauge(
            "clusterm_followers",
            "Clients that follow the log of a job.",
            registry=self._registry,
        )

    def write(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _StoreCollector(Collector):
    """Metrics that the store keeps."""

    def __init__(self, store: Store, manager: ManagerSettings) -> None:
        self._store = store
        self._manager = manager

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. If the store cannot be read, `clusterm_store_up` is 0 and the job metrics are missing."""
        about = InfoMetricFamily("clusterm_build", "The version that runs.")
        about.add_metric((), {"version": version("clusterm")})
        yield about
        up = GaugeMetricFamily("clusterm_store_up", "1 if the store can be read.", value=1)
        try:
            found = [*self._of_jobs(), *self._of_nodes(), *self._of_notifications(), *self._of_telemetry()]
            size = self._store.size()
            found.append(GaugeMetricFamily("clusterm_store_size_bytes", "Size of the database.", value=size))
        except StoreError:
            up = GaugeMetricFamily("clusterm_store_up", "1 if the store can be read.", value=0)
            found = []
        yield up
        yield from found
        disk = shutil.disk_usage(self._manager.state_dir)
        for name, text, value in (
            ("free", "Room on the disk of the state directory.", disk.free),
            ("size", "Size of the disk of the state directory.", disk.total),
            ("min_free", "Room below which no job starts (manager.min_free_bytes).", self._manager.min_free_bytes),
        ):
            yield GaugeMetricFamily(f"clusterm_state_dir_{name}_bytes", text, value=value)

    def _of_jobs(self) -> Iterator[Metric]:
        with self._store.read() as session:
            counted = counters.get(session)
            unended = job_queries.count_unended(session)
            running = job_queries.running(session)
            silent = {job.id: log_lines.last(session, job.id) for job in running}
            queued = job_queries.first_queued(session)
        now = GaugeMetricFamily("clusterm_jobs", "Jobs that have not ended.", labels=("status",))
        for status in JobStatus:
            if status not in ENDED:
                now.add_metric((status,), unended.get(status, 0))
        yield now
        ran = HistogramMetricFamily(
            "clusterm_job_duration_seconds", "How long ended jobs ran.", labels=("action", "status")
        )
        actions = sorted({*Action, *(action for action, _ in counted.running), *(job.action for job in running)})
        for action, status in product(actions, sorted(ENDED)):
            durations = counted.running.get((action, status), counters.Durations.none())
            ran.add_metric((action, status), list(durations.cumulative()), durations.seconds)
        yield ran
        runs = GaugeMetricFamily(
            "clusterm_job_running_seconds",
            "How long the running job of an action that started first has been running; 0 without one.",
            labels=("action",),
        )
        silence = GaugeMetricFamily(
            "clusterm_job_silent_seconds",
            "How long ansible has written nothing, in the running job of an action where it is longest; 0 without one.",
            labels=("action",),
        )
        for action in actions:
            jobs = [job for job in running if job.action == action]
            runs.add_metric((action,), max((_running_seconds(job) for job in jobs), default=0.0))
            silence.add_metric((action,), max((_silent_seconds(job, silent[job.id]) for job in jobs), default=0.0))
        yield from (runs, silence)
        yield GaugeMetricFamily(
            "clusterm_job_oldest_queued_seconds",
            "How long the job that was queued first has been waiting; 0 without one.",
            value=seconds_since(queued.created_at, queued.boot_id, queued.created_clock) if queued else 0.0,
        )
        waited = HistogramMetricFamily("clusterm_job_queue_seconds", "How long jobs waited for their turn.")
        waited.add_metric((), list(counted.waiting.cumulative()), counted.waiting.seconds)
        yield waited
        yield CounterMetricFamily("clusterm_log_lines", "Log lines of ended jobs.", value=counted.lines)
        yield CounterMetricFamily("clusterm_log_bytes", "Bytes of the logs of ended jobs.", value=counted.bytes)

    def _of_nodes(self) -> Iterator[Metric]:
        with self._store.read() as session:
            counted = nodes.count(session)
        family = GaugeMetricFamily("clusterm_nodes", "Nodes.", labels=("status", "state"))
        for status, state in product(Status, State):
            family.add_metric((status, state), counted.get((status, state), 0))
        yield family

    def _of_notifications(self) -> Iterator[Metric]:
        with self._store.read() as session:
            counts = outbox.counts(session)
        by_webhook = ("webhook",)
        pending = GaugeMetricFamily(
            "clusterm_notifications_pending", "Notifications that are still to be sent.", labels=by_webhook
        )
        sent = CounterMetricFamily("clusterm_notifications_sent", "Notifications that were taken.", labels=by_webhook)
        failed = CounterMetricFamily(
            "clusterm_notifications_failed",
            "Notifications that were dropped because they were too old.",
            labels=by_webhook,
        )
        for name, count in counts.items():
            pending.add_metric((name,), count.pending)
            sent.add_metric((name,), count.sent)
            failed.add_metric((name,), count.failed)
        yield from (pending, sent, failed)

    def _of_telemetry(self) -> Iterator[Metric]:
        with self._store.read() as session:
            progress = telemetry.progress(session)
            pending = telemetry.pending(session, progress)
        yield GaugeMetricFamily(
            "clusterm_traces_pending", "Ended jobs whose traces are still to be exported.", value=pending
        )
        yield CounterMetricFamily("clusterm_traces_exported", "Exported traces of jobs.", value=progress.exported)
        yield CounterMetricFamily(
            "clusterm_traces_dropped",
            "Traces of jobs that were not exported, or not as a whole: rejected, too old, or the job was deleted.",
            value=progress.dropped,
        )


class _HealthCollector(Collector):
    """Whether the service is ready, and what it has lost."""

    def __init__(self, checks: Callable[[], Mapping[str, HealthCheck]], lost_executors: Callable[[], int]) -> None:
        self._checks = checks
        self._lost_executors = lost_executors

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        found = dict(self._checks())
        yield GaugeMetricFamily(
            "clusterm_ready", "1 if jobs can run and be stored, as /readyz reports.", value=int(health.is_ready(found))
        )
        checks = GaugeMetricFamily("clusterm_health_check_ok", "1 if a check of /readyz passes.", labels=("check",))
        for name, check in found.items():
            checks.add_metric((name,), int(check.ok))
        yield checks
        yield CounterMetricFamily(
            "clusterm_executors_lost", "Executors that died before their jobs had ended.", value=self._lost_executors()
        )


class _CertificateCollector(Collector):
    """When the certificate expires."""

    def __init__(self, expiry: Callable[[], datetime | None]) -> None:
        self._expiry = expiry

    def collect(self) -> Iterator[Metric]:
        """Yield the time; nothing without a certificate."""
        if (expiry := self._expiry()) is not None:
            yield GaugeMetricFamily(
                "clusterm_certificate_expiry_timestamp_seconds",
                "Unix time at which the certificate of the service expires.",
                value=expiry.timestamp(),
            )


class _TaskCollector(Collector):
    """Metrics of the background tasks."""

    def __init__(self, tasks: Callable[[], Iterable[TaskStatus]]) -> None:
        self._tasks = tasks

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, with the name of the task as label."""
        by_task = ("task",)
        runs = CounterMetricFamily("clusterm_background_task_runs", "Runs of a background task.", labels=by_task)
        failures = CounterMetricFamily(
            "clusterm_background_task_failures", "Runs of a background task that failed.", labels=by_task
        )
        last_success = GaugeMetricFamily(
            "clusterm_background_task_last_success_timestamp_seconds",
            "Unix time of the last successful run of a background task.",
            labels=by_task,
        )
        for task in self._tasks():
            runs.add_metric((task.name,), task.runs)
            failures.add_metric((task.name,), task.failures)
            if task.last_success is not None:
                last_success.add_metric((task.name,), task.last_success.timestamp())
        yield from (runs, failures, last_success)


def _running_seconds(job: tables.Job) -> float:
    return seconds_since(job.started_at or job.created_at, job.boot_id, job.started_clock)


def _silent_seconds(job: tables.Job, last: tables.LogLine | None) -> float:
    """Return the time since the last line of a job, and not more than it has been running."""
    since_line = max((datetime.now(UTC) - last.at).total_seconds(), 0.0) if last else math.inf
    return min(since_line, _running_seconds(job))
