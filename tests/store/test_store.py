"""The store on a real database file: what is kept, in what order, and what transactions promise."""

import threading
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, col, delete, func, select, update
from support.rows import add_events
from support.rows import read_timeline as timeline_of

from clusterm.enums import Action, EventName, JobStatus, Result, StepName
from clusterm.schemas import Event
from clusterm.store import engine, events, idempotency_keys, job_records, log_lines, log_reader, runtime_values, tables
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError
from clusterm.store.log_query import LogQuery
from clusterm.store.migrations import migrate

NOW = datetime(2026, 11, 22, 7, 31, 2, 123456, tzinfo=UTC)
MANY = 10**6
CHILDREN: tuple[Any, ...] = (tables.JobNode, tables.JobStep, tables.JobTask, tables.TaskResult, tables.LogLine)


def event(node: str | None = "node1-a", at: datetime = NOW, detail: str | None = None) -> tables.Event:
    return tables.Event(at=at, node=node, event=EventName.COMMISSIONED, result=Result.PASS, job_id=None, detail=detail)


def new_job(**columns: Any) -> tables.Job:
    return tables.Job(
        **{
            "action": Action.COMMISSION,
            "status": JobStatus.RUNNING,
            "host_group": "service-master",
            "extra_vars": {},
            "requested_by": "127.0.0.1",
            "created_at": NOW,
            **columns,
        }
    )


def add_job(store: Store, nodes: Sequence[str] = (), *, held: bool = False, **columns: Any) -> int:
    with store.write() as session:
        job = new_job(**columns)
        session.add(job)
        session.flush()
        for position, node in enumerate(nodes, start=1):
            session.add(tables.JobNode(job_id=job.id, position=position, node=node, held=held))
        return job.id


def add_lines(store: Store, job_id: int, *lines: str, partial: Sequence[int] = (), at: datetime = NOW) -> None:
    rows = [
        {"job_id": job_id, "seq": seq, "at": at, "text": line, "partial": seq in partial, "task": None, "node": None}
        for seq, line in enumerate(lines, start=1)
    ]
    with store.write() as session:
        log_lines.append(session, rows)
        job_queries.get(session, job_id).lines = len(rows)


def read(session: Session, job_id: int, *, start: int = 1) -> list[log_lines.Row]:
    return log_reader.read(session, job_queries.get(session, job_id), LogQuery(), start).rows


def read_timeline(store: Store, bound: int = MANY, limit: int = MANY, **conditions: Any) -> list[Event]:
    with store.read() as session:
        return timeline_of(session, bound, limit=limit, **conditions)


def read_history(store: Store, node: str, bound: int = MANY, limit: int = MANY, **conditions: Any) -> list[Event]:
    with store.read() as session:
        return events.of_node(session, node, bound, limit=limit, **conditions)


# Events

_happenings = st.lists(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=4), max_size=12)
_bounds = st.integers(1, 6)


@given(_happenings, _bounds, _bounds)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pruning_keeps_what_either_bound_still_needs(
    store: Store, happenings: list[list[str | None]], timeline: int, node_events: int
) -> None:
    with store.write() as session:
        session.exec(delete(tables.Event))
    expected: list[tuple[str | None, str]] = []
    for batch in happenings:
        new = [event(node, detail=str(len(expected) + number)) for number, node in enumerate(batch)]
        expected += [(one.node, str(one.detail)) for one in new]
        add_events(store, *new, timeline=timeline, node_events=node_events)

    seen = [(one.node, one.detail) for one in read_timeline(store, timeline)]
    assert seen == expected[-timeline:]
    for node in "abc":
        of_node = [(name, detail) for name, detail in expected if name == node]
        assert [(one.node, one.detail) for one in read_history(store, node, node_events)] == of_node[-node_events:]
    with store.read() as session:
        rows = session.exec(select(func.count()).select_from(tables.Event)).one()
    assert rows <= timeline + 3 * max(timeline, node_events), "what neither needs is deleted"


def test_the_timeline_and_a_history_are_no_longer_than_their_bounds_even_if_the_table_is(store: Store) -> None:
    add_events(store, *(event(detail=str(number)) for number in range(10)))
    assert [one.detail for one in read_timeline(store, 3)] == ["7", "8", "9"]
    assert [one.detail for one in read_history(store, "node1-a", 4)] == ["6", "7", "8", "9"]


def test_the_order_is_that_of_the_ids_even_if_the_clock_steps_back(store: Store) -> None:
    for hours in (0, -5, -1, -9):
        add_events(store, event(at=NOW + timedelta(hours=hours), detail=str(hours)))
    for found in (read_timeline(store), read_history(store, "node1-a")):
        assert [one.detail for one in found] == ["0", "-5", "-1", "-9"]
        assert [one.id for one in found] == sorted(one.id for one in found)
    assert [one.detail for one in read_timeline(store, 2)] == ["-1", "-9"]


def test_an_id_is_never_given_twice(store: Store) -> None:
    add_events(store, event())
    job_id = add_job(store)
    with store.write() as session:
        session.exec(delete(tables.Event))
        session.exec(delete(tables.Job))
    add_events(store, event())
    assert read_timeline(store)[0].id == 2
    assert add_job(store) == job_id + 1


def test_views_are_filtered_and_paged(store: Store) -> None:
    for number, node in enumerate(["a", "b", None, "a", "b", "a"]):
        add_events(store, event(node, at=NOW + timedelta(seconds=number), detail=str(number)))
    assert [one.detail for one in read_timeline(store, nodes={"b"})] == ["1", "4"]
    assert [one.detail for one in read_timeline(store, since=NOW + timedelta(seconds=4))] == ["4", "5"]
    assert [one.detail for one in read_timeline(store, limit=2)] == ["4", "5"]
    page = read_history(store, "a", limit=2)
    assert [one.detail for one in page] == ["3", "5"]
    assert [one.detail for one in read_history(store, "a", limit=2, before=page[0].id)] == ["0"]


# Times


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11))])
def test_times_come_back_in_utc_to_the_microsecond(store: Store, zone: timezone) -> None:
    at = NOW.astimezone(zone)
    job_id = add_job(store, created_at=at, started_at=at)
    add_lines(store, job_id, "line", at=at)
    add_events(store, event(at=at))
    with store.read() as session:
        job = job_queries.get(session, job_id)
        (line,) = read(session, job_id)
        times = [job.created_at, job.started_at, line.at, read_timeline(store)[0].at]
    assert times == [NOW] * 4
    assert {time.utcoffset() for time in times if time} == {timedelta()}


def test_a_time_without_a_zone_is_not_taken(store: Store) -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(Exception, match=r"(?i)naive|timezone|tzinfo"):
        add_events(store, event(at=naive))
    assert read_timeline(store) == []


# Jobs


def test_last_is_the_job_that_ended_last_whatever_the_clock_says(store: Store) -> None:
    first = add_job(store, status=JobStatus.COMPLETE, end_order=2, finished_at=NOW - timedelta(hours=1))
    add_job(store, status=JobStatus.COMPLETE, end_order=1, finished_at=NOW + timedelta(hours=1))
    add_job(store)
    with store.read() as session:
        assert job_queries.resolve(session, "last").id == first
        assert job_queries.next_end_order(session) == 3


def test_two_jobs_cannot_hold_one_node(store: Store) -> None:
    first = add_job(store, ["node1-a", "node2-b"], held=True)
    with pytest.raises(StoreError, match=r"(?i)unique"):
        add_job(store, ["node3-c", "node2-b"], held=True)
    with store.read() as session:
        assert [job.id for job in session.exec(select(tables.Job))] == [first], "all of the other one is undone"
    add_job(store, ["node2-b"], held=False)
    with store.write() as session:
        for node in job_records.load(session, job_queries.get(session, first)).nodes:
            node.held = False
    assert add_job(store, ["node2-b"], held=True)


def test_what_belongs_to_a_job_goes_with_it(store: Store) -> None:
    gone, stays = add_job(store, ["node1-a"]), add_job(store, ["node1-a"])
    for job_id in (gone, stays):
        add_lines(store, job_id, "line")
        with store.write() as session:
            session.add(tables.JobStep(job_id=job_id, number=1, name=StepName.CONFIGURE, playbook="site.yml"))
            session.add(tables.JobTask(job_id=job_id, number=1, step=1, play="all", name="task"))
            session.add(tables.TaskResult(job_id=job_id, number=1, task=1, node="node1-a"))
    with store.write() as session:
        session.delete(job_queries.get(session, gone))
    with store.read() as session:
        assert [[row.job_id for row in session.exec(select(table))] for table in CHILDREN] == [[stays]] * len(CHILDREN)


@pytest.mark.parametrize(
    "row",
    [
        tables.JobNode(job_id=7, position=1, node="node1-a", held=False),
        tables.JobStep(job_id=7, number=1, name=StepName.CONFIGURE, playbook="site.yml"),
        tables.JobTask(job_id=7, number=1, step=1, play="all", name="task"),
        tables.TaskResult(job_id=7, number=1, task=1, node="node1-a"),
        tables.LogLine(job_id=7, seq=1, at=NOW, text="line", partial=False, task=None, node=None),
    ],
    ids=lambda row: type(row).__name__,
)
def test_nothing_belongs_to_a_job_that_does_not_exist(store: Store, row: Any) -> None:
    with pytest.raises(StoreError, match=r"(?i)foreign key"), store.write() as session:
        session.add(type(row)(**row.model_dump()))


# Log lines


def test_lines_that_are_stored_in_parts_are_joined(store: Store) -> None:
    job_id = add_job(store)
    add_lines(store, job_id, "first", "a", "b", "c", "", "d", "e", "last", "cut", partial=(2, 3, 6, 9))
    with store.read() as session:
        assert [row.text for row in read(session, job_id, start=3)][:3] == ["b", "c", ""]
        text = log_reader.text_of(read(session, job_id))
    assert text == b"first\nabc\n\nde\nlast\ncut"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=8))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_line_comes_back_as_it_was(store: Store, store_kind: str, lines: list[str]) -> None:
    kept = lines if store_kind == "sqlite" else [line.replace("\0", "\\x00") for line in lines]
    job_id = add_job(store)
    add_lines(store, job_id, *lines)
    with store.read() as session:
        assert [row.text for row in read(session, job_id)] == kept
        assert [row.seq for row in read(session, job_id)] == [*range(1, len(lines) + 1)]


def test_a_line_knows_the_task_and_node_that_wrote_it(store: Store) -> None:
    job_id, other = add_job(store), add_job(store)
    for each in (job_id, other):
        add_lines(store, each, *"abcd")
    with store.write() as session:
        session.add(tables.JobTask(job_id=job_id, number=5, step=1, play="all", name="Say hello"))
        session.flush()
        log_lines.attribute(session, job_id, 2, 3, task=5, node="node1-a")
    with store.read() as session:
        rows = [(row.text, row.play, row.task, row.node) for row in read(session, job_id)]
        assert {row.task for row in read(session, other)} == {None}
    written = ("all", "Say hello", "node1-a")
    assert rows == [("a", None, None, None), ("b", *written), ("c", *written), ("d", None, None, None)]


# Settings


def test_what_is_set_is_replaced_as_a_whole_and_survives_reopening(store: Store, store_url: str) -> None:
    for value in ({"a": 1, "b": {"c": [2]}}, {"d": "ü"}):
        with store.write() as session:
            runtime_values.put(session, runtime_values.GLOBALS, value)
    store.close()
    with closing(Store(store_url)) as reopened, reopened.read() as session:
        assert runtime_values.get(session, runtime_values.GLOBALS) == {"d": "ü"}
        assert runtime_values.get(session, runtime_values.CONFIG) == {}


# Transactions


def test_a_read_sees_one_snapshot(store: Store) -> None:
    job_id = add_job(store)
    with store.read() as session:
        assert [row.text for row in read(session, job_id)] == []
        add_lines(store, job_id, "line")
        with store.write() as other:
            job_queries.get(other, job_id).status = JobStatus.COMPLETE
        assert [row.text for row in read(session, job_id)] == []
        assert job_queries.get(session, job_id).status is JobStatus.RUNNING
    with store.read() as session:
        assert [row.text for row in read(session, job_id)] == ["line"]
        assert job_queries.get(session, job_id).status is JobStatus.COMPLETE


def test_a_write_that_fails_leaves_nothing(store: Store) -> None:
    def fail_half_way() -> None:
        with store.write() as session:
            session.add(new_job())
            session.flush()
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    with store.read() as session:
        assert session.exec(select(tables.Job)).all() == []


def test_writes_wait_for_each_other_and_see_each_others_work(store: Store) -> None:
    start = threading.Barrier(4)

    def count() -> None:
        start.wait()
        for _ in range(25):
            with store.write() as session:
                value = runtime_values.get(session, "count").get("value", 0)
                runtime_values.put(session, "count", {"value": value + 1})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as session:
        assert runtime_values.get(session, "count") == {"value": 100}


def test_readers_do_not_wait_for_a_writer(store: Store) -> None:
    job_id = add_job(store)
    with store.write() as session:
        job_queries.get(session, job_id).error = "not committed"
        session.flush()
        with store.read() as reader:
            assert job_queries.get(reader, job_id).error == ""


def test_space_is_returned_without_waiting_for_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that waits holds the lock of the writers, for as long as a response is read from one snapshot."""
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 600.0)
    store = Store(f"sqlite:///{tmp_path / 'clusterm.db'}")
    migrate(store)

    def write(value: str) -> None:
        with store.write() as session:
            runtime_values.put(session, "a", {"value": value * 100_000})

    wal = tmp_path / "clusterm.db-wal"
    with store.read() as session:
        runtime_values.get(session, "a")  # takes the snapshot
        write("1")
        store.reclaim_space()
        assert wal.stat().st_size > 100_000
        write("2")
    store.reclaim_space()
    assert wal.stat().st_size == 0
    store.close()


@pytest.mark.sqlite_only
def test_what_was_committed_is_on_the_disk(store: Store) -> None:
    with store.read() as session:
        connection = session.connection()
        modes = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert modes == ["wal", 2]


def test_jobs_are_filtered_newest_first(store: Store) -> None:
    for number in range(6):
        add_job(
            store,
            [f"node{number % 2}"],
            action=Action.UPDATE if number > 3 else Action.COMMISSION,
            status=JobStatus.ERRORED if number % 3 else JobStatus.COMPLETE,
            created_at=NOW + timedelta(seconds=number),
        )

    def found(**conditions: Any) -> list[int]:
        with store.read() as session:
            return [job.id for job in job_queries.history(session, **{"limit": MANY, **conditions})]

    assert found() == [6, 5, 4, 3, 2, 1]
    assert found(limit=2) == [6, 5]
    assert found(limit=2, before=5) == [4, 3]
    assert found(status=JobStatus.COMPLETE) == [4, 1]
    assert found(action=Action.UPDATE) == [6, 5]
    assert found(nodes={"node1"}) == [6, 4, 2]
    assert found(since=NOW + timedelta(seconds=3)) == [6, 5, 4]
    assert found(until=NOW + timedelta(seconds=3)) == [3, 2, 1]
    assert found(action=Action.COMMISSION, status=JobStatus.ERRORED, nodes={"node0"}, before=4) == [3]


def test_events_outlive_their_job(store: Store) -> None:
    job_id = add_job(store)
    lasting = event()
    lasting.job_id = job_id
    add_events(store, lasting)
    with store.write() as session:
        session.exec(delete(tables.Job).where(col(tables.Job.id) == job_id))
    assert read_timeline(store)[0].job == job_id


def test_keys_of_the_latest_jobs_outlive_a_clock_that_is_set_forward(store: Store) -> None:
    with store.write() as session:
        for job_id in (1, 2000, 2500):
            idempotency_keys.remember(session, f"key {job_id}", "digest", job_id)
        key = tables.IdempotencyKey
        session.execute(update(key).values(at=datetime.now(UTC) - timedelta(days=2)))
        idempotency_keys.remember(session, "another", "digest", 2501)
    with store.read() as session:
        kept = [job_id for job_id in (1, 2000, 2500) if idempotency_keys.get(session, f"key {job_id}")]
    assert kept == [2000, 2500]
