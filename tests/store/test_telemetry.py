"""The trace of a large job is bounded, and the same each time it is made."""

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from support.rows import add_traced_job

from clusterm.store import job_records, telemetry
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.telemetry import log_records
from clusterm.telemetry.spans import MAX_TASKS, JobSpans


def spans_of(store: Store, job: int) -> JobSpans:
    with store.read() as session:
        record = job_records.load(session, job_queries.get(session, job))
        session.expunge_all()
    return JobSpans(record, Resource({}), InstrumentationScope("test"))


def span_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("tasks", "nodes", "spans"), [(1, 10_000, 4), (100, 100, 103), (10_000, 1, MAX_TASKS + 3), (0, 1, 3)]
)
def test_ten_thousand_results_stay_bounded(store: Store, tasks: int, nodes: int, spans: int) -> None:
    job = spans_of(store, add_traced_job(store, tasks=tasks, nodes=nodes))
    made = list(job.all(store))

    assert len(made) == spans == len({span_id(span) for span in made})
    assert max(len(span.events) for span in made) <= 10
    attributes = dict(made[0].attributes or {})
    assert attributes["clusterm.job.node_count"] == nodes
    assert attributes.get("clusterm.job.omitted_task_count", 0) == max(tasks - MAX_TASKS, 0)
    known = {span_id(span) for span in made}
    assert all(span.parent is None or span.parent.span_id in known for span in made)
    assert [span.to_json() for span in job.all(store)] == [span.to_json() for span in made]


def test_a_task_tells_its_first_failed_and_its_slowest_nodes(store: Store) -> None:
    made = list(spans_of(store, add_traced_job(store, tasks=1, nodes=100)).all(store))

    (task,) = (span for span in made if span.name == "task 2")
    told = [dict(event.attributes or {}) for event in task.events]
    assert [each["clusterm.node"] for each in told] == [
        *(f"node{number}-a" for number in (6, 13, 20, 27, 34)),
        *(f"node{number}-a" for number in (95, 96, 97, 98, 99)),
    ]
    assert max(len(str(each.get("clusterm.message", ""))) for each in told) == 1000
    assert dict(task.attributes or {})["clusterm.task.results.failed"] == 14
    assert task.status.description == "failed on 14 of 100 nodes"


def test_lines_are_in_the_span_of_their_task_or_step(store: Store) -> None:
    spans = spans_of(store, add_traced_job(store, tasks=1, nodes=1))
    batches = list(log_records.batches(store, spans))

    assert [len(batch) for batch in batches] == [1000, 1000, 500]
    records = [each.log_record for batch in batches for each in batch]
    assert [record.body for record in records] == [f"line {number}" for number in range(1, 2501)]
    assert [record.span_id for record in records[:2]] == [spans.job_id, spans.step_id(1)]
    assert records[8].span_id == spans.task_id(2)


def test_jobs_are_exported_from_the_first_start_on_and_not_after_an_end(store: Store) -> None:
    def order() -> int:
        with store.read() as session:
            return telemetry.progress(session).order

    def call(change: object) -> None:
        with store.write() as session:
            change(session)  # type: ignore[operator]

    def waiting() -> int:
        with store.read() as session:
            return telemetry.pending(session, telemetry.progress(session))

    add_traced_job(store, tasks=0, nodes=1)
    assert waiting() == 0
    call(telemetry.begin)
    orders = [order()]
    add_traced_job(store, tasks=0, nodes=1)
    call(telemetry.begin)  # the next service
    orders.append(order())
    assert waiting() == 1
    call(telemetry.end)
    assert waiting() == 0
    call(telemetry.begin)
    orders.append(order())
    assert orders == [1, 1, 2]
