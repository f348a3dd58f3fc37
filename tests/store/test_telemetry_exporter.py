"""The exporter, run by run, with a real collector."""

from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import pytest
from pydantic import SecretStr
from support.otlp_receiver import OtlpReceiver, collecting, values
from support.rows import add_traced_job

from clusterm.settings import TelemetrySettings
from clusterm.store import jobs as job_queries
from clusterm.store import retention, telemetry
from clusterm.store.engine import Store
from clusterm.store.telemetry import Progress
from clusterm.telemetry import exporter as exporter_module
from clusterm.telemetry import setup, spans
from clusterm.telemetry.collector import CollectorUnavailable
from clusterm.telemetry.exporter import TelemetryExporter

PHRASES = {status.value: status.phrase for status in HTTPStatus}


@pytest.fixture
def collector(store: Store) -> Iterator[OtlpReceiver]:
    with store.write() as session:
        telemetry.begin(session)
    with collecting() as receiver:
        yield receiver


def exporter(store: Store, collector: OtlpReceiver, **settings: Any) -> TelemetryExporter:
    return TelemetryExporter(store, TelemetrySettings(endpoint=collector.url, **settings))


def progress(store: Store) -> Progress:
    with store.read() as session:
        return telemetry.progress(session)


def exported(collector: OtlpReceiver) -> list[int]:
    return [values(root.attributes)["clusterm.job.id"] for root in collector.roots()]


def recent_job(store: Store, **columns: Any) -> int:
    return add_traced_job(store, **{"tasks": 0, "finished_at": datetime.now(UTC), **columns})


def test_what_a_collector_has_taken_is_not_sent_again(store: Store, collector: OtlpReceiver) -> None:
    recent_job(store, tasks=600)
    answers: Iterator[tuple[int, dict[str, str]]] = iter([(200, {}), (404, {})])
    collector.answer = lambda _: next(answers, (200, {}))
    with pytest.raises(CollectorUnavailable, match="it answered 404"):
        exporter(store, collector, logs=True).run()
    assert progress(store).batches == 1

    exporter(store, collector, logs=True).run()  # of the next service

    assert len(collector.spans) == len({span.span_id for span in collector.spans}) == 603
    assert [values(record.attributes)["clusterm.line"] for record in collector.records] == list(range(1, 2501))
    assert progress(store) == Progress(1, exported=1)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503, 302])
def test_a_failure_of_the_collector_keeps_the_trace(store: Store, collector: OtlpReceiver, status: int) -> None:
    job = recent_job(store)
    collector.answer = lambda _: (status, {"Retry-After": "3000", "Location": "/v1/logs"})
    task = exporter(store, collector, headers={"X-Key": SecretStr("canary")})
    for _ in range(2):  # the second one does not ask the collector
        with pytest.raises(CollectorUnavailable, match=f"it answered {status}"):
            task.run()
    assert len(collector.requests) == 1
    assert progress(store) == Progress(0)

    collector.answer = lambda _: (200, {})
    exporter(store, collector).run()
    assert exported(collector) == [job]


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_rejected_trace_is_dropped_and_does_not_delay_others(
    store: Store, collector: OtlpReceiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [recent_job(store) for _ in range(3)]
    answers: Iterator[tuple[int, dict[str, str]]] = iter([(status, {}), (status, {})])
    collector.answer = lambda _: next(answers, (200, {}))
    exporter(store, collector).run()

    assert exported(collector) == jobs[2:]
    assert progress(store) == Progress(3, exported=1, dropped=2)
    assert caplog.messages == [
        f"dropped the trace of 1 job: job {jobs[0]} is rejected: it answered {status} {PHRASES[status]}"
    ]


def test_a_trace_that_is_too_old_is_dropped_after_an_attempt(store: Store, collector: OtlpReceiver) -> None:
    collector.answer = lambda _: (503, {"Retry-After": "3000"})
    add_traced_job(store, tasks=0, finished_at=datetime(2020, 1, 1, tzinfo=UTC))
    young = recent_job(store)
    with pytest.raises(CollectorUnavailable):
        exporter(store, collector).run()
    assert progress(store) == Progress(1, dropped=1)

    collector.answer = lambda _: (200, {})
    exporter(store, collector).run()
    assert exported(collector) == [young]


def test_jobs_that_the_retention_deletes_are_counted_as_dropped(
    store: Store, collector: OtlpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    task = exporter(store, collector)
    jobs = [recent_job(store)]
    task.run()
    jobs += [recent_job(store) for _ in range(2)]
    for job in jobs:  # so that none is left which tells the order
        retention.delete_job(store, job)
    jobs += [recent_job(store)]
    task.run()

    assert exported(collector) == [jobs[0], jobs[3]]
    assert (progress(store).exported, progress(store).dropped) == (2, 2)
    assert [message for message in caplog.messages if "dropped" in message] == [
        "dropped the trace of 2 jobs: the retention has deleted the jobs before they were exported"
    ]


def test_a_defect_in_one_trace_does_not_delay_others(
    store: Store, collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [recent_job(store) for _ in range(2)]
    real = spans.load
    monkeypatch.setattr(
        exporter_module, "load", lambda store, job, *more: 1 / 0 if job == jobs[0] else real(store, job, *more)
    )
    exporter(store, collector).run()

    assert exported(collector) == jobs[1:]
    assert progress(store) == Progress(2, exported=1, dropped=1)


def test_a_retry_is_linked_to_the_job_that_it_retries(store: Store, collector: OtlpReceiver) -> None:
    first = recent_job(store)
    recent_job(store, retry_of=first)
    recent_job(store, retry_of=99)  # deleted
    recent_job(store, trace_id=None, span_id=None)  # of an earlier version
    exporter(store, collector).run()

    roots = collector.roots()
    assert [[link.span_id for link in root.links] for root in roots] == [[], [roots[0].span_id], []]
    with store.read() as session:
        assert roots[0].trace_id.hex() == job_queries.get(session, first).trace_id


def test_telemetry_can_be_disabled_in_the_environment(
    store: Store, collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TelemetrySettings(endpoint=collector.url)
    assert setup.make_exporter(store, settings) is not None
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert setup.make_exporter(store, settings) is None
    assert setup.make_exporter(store, TelemetrySettings()) is None
