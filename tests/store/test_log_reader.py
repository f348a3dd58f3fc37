"""Log lines read from the store: by time, over gaps, and while a job is running."""

import asyncio
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import Gauge
from support.rows import BEGAN, add_logged_job, add_result

from clusterm.enums import JobStatus, StepName, TaskStatus
from clusterm.logs import follower, formats
from clusterm.logs.follower import LogFollower, Position
from clusterm.routes import logs
from clusterm.routes.dependencies import Services
from clusterm.store import jobs as job_queries
from clusterm.store import log_reader, tables
from clusterm.store.engine import Store
from clusterm.store.log_query import LogQuery


@pytest.mark.sqlite_only
def test_a_clock_that_was_set_back_loses_no_line(store: Store) -> None:
    job_id = add_logged_job(store, 20_000)
    with store.write() as session:
        earlier = "strftime('%Y-%m-%d %H:%M:%S.000000', at, '-5000 minutes')"
        session.connection().exec_driver_sql(f"UPDATE log_lines SET at = {earlier} WHERE seq > 10000")
    minute = BEGAN + timedelta(minutes=1)
    assert log_reader.first_since(store, job_id, minute + timedelta(minutes=7499)) == 7500
    assert log_reader.first_since(store, job_id, minute + timedelta(minutes=4999)) == 5000
    assert log_reader.first_since(store, job_id, minute + timedelta(minutes=12_499)) == 17_500


@pytest.mark.parametrize("gap", [(1001, 18_000), (2, 19_999), (1, 19_000)])
def test_lines_that_were_left_out_are_no_trouble(store: Store, gap: tuple[int, int]) -> None:
    job_id = add_logged_job(store, 20_000)
    with store.write() as session:
        session.connection().exec_driver_sql(f"DELETE FROM log_lines WHERE seq BETWEEN {gap[0]} AND {gap[1]}")
    kept = [seq for seq in range(1, 20_001) if not gap[0] <= seq <= gap[1]]
    for wanted in (gap[0] - 1, gap[0], gap[1], gap[1] + 1, 20_000, 20_001):
        found = log_reader.first_since(store, job_id, BEGAN + timedelta(minutes=wanted))
        assert found == next((seq for seq in kept if seq >= wanted), 20_001)
    with store.read() as session:
        part = log_reader.read(session, job_queries.get(session, job_id), LogQuery(nodes=("node1-a",)), gap[0])
    assert part.rows[0].seq == next(seq for seq in kept if seq > gap[0] and seq % 2 == 0)


def test_the_node_and_task_of_a_line_are_waited_for(store: Store) -> None:
    """A line is stored before it is known what wrote it: a follower who wants some nodes only must not pass it by."""
    job_id = add_logged_job(store, 60, status=JobStatus.RUNNING)
    with store.write() as session:
        step = tables.JobStep(
            job_id=job_id, number=1, name=StepName.CONFIGURE, playbook="site.yml", first_unattributed_line=41
        )
        session.add(step)
    add_result(store, job_id, 1, TaskStatus.FAILED, 38, 40)

    def read(**conditions: Any) -> list[int]:
        with store.read() as session:
            part = log_reader.read(session, job_queries.get(session, job_id), LogQuery(**conditions), 30)
        assert part.exhausted
        return [row.seq for row in part.rows]

    assert read(nodes=("node1-a",), follow=True) == [30, 32, 34, 36, 38, 40]
    assert read(nodes=("node1-a",)) == [*range(30, 61, 2)]
    assert read(failed=True, follow=True) == [35, 36, 37], "lines 38 to 40 come once their context is known"
    assert read(failed=True) == [*range(35, 44)]
    assert read(follow=True) == [*range(30, 61)]


def test_silent_followers_hear_that_the_connection_lives(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_KEEPALIVE_INTERVAL_S", 0.0)
    job_id = add_logged_job(store, 1, status=JobStatus.RUNNING)

    async def first_pieces(encoding: formats.LogEncoding) -> list[bytes]:
        reads = LogFollower(store)
        place = Position(job_id, 1, LogQuery(follow=True), encoding)
        found: list[bytes] = []
        service = cast(
            "Services",
            SimpleNamespace(
                follower=reads, metrics=SimpleNamespace(followers=Gauge("f", "", registry=None)), authenticator=None
            ),
        )
        async for piece in logs._chunks(service, place, None):
            found.append(piece)
            if len(found) == 3:
                reads.stop()
        return found

    line, *pings = asyncio.run(first_pieces(formats.EVENTS))
    assert line.startswith(b"id: 1\n")
    assert set(pings) == {b": ping\n\n"}
    assert asyncio.run(first_pieces(formats.NDJSON))[1:] == [b"", b""]


async def _begin_to_wait(reader: LogFollower) -> None:
    for _ in range(5):  # the tasks that are between the reader and its wait
        await asyncio.sleep(0)
    assert reader._waiting


def test_a_call_of_the_executor_lets_followers_look_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_POLL_INTERVAL_S", 3600.0)
    job_id = add_logged_job(store, 3, status=JobStatus.RUNNING)
    position = Position(job_id, 4, LogQuery(follow=True), formats.TEXT)

    async def follow() -> None:
        reader = LogFollower(store)
        reading = asyncio.create_task(reader.read(position, live=True))
        await _begin_to_wait(reader)
        reader.wake([job_id + 1])
        assert reader._waiting.keys() == {job_id}, "the call was for another job"

        with store.write() as session:
            job = job_queries.get(session, job_id)
            job.status, job.end_order = JobStatus.COMPLETE, job_queries.next_end_order(session)
        reader.wake([job_id])
        chunk = await reading
        assert chunk is not None
        assert chunk.end is not None
        assert reader._waiting == {}

    asyncio.run(follow())


def test_a_call_between_two_reads_is_not_missed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_POLL_INTERVAL_S", 3600.0)
    job_id = add_logged_job(store, 3, status=JobStatus.RUNNING)
    query = LogQuery(follow=True)

    async def follow() -> None:
        reader = LogFollower(store)
        first = await reader.read(Position(job_id, 1, query, formats.TEXT), live=False)
        assert first is not None
        assert first.live
        with store.write() as session:
            job = job_queries.get(session, job_id)
            job.status, job.end_order = JobStatus.COMPLETE, job_queries.next_end_order(session)
        reader.wake([job_id])
        chunk = await reader.read(Position(job_id, first.next, query, formats.TEXT), live=True, calls=first.calls)
        assert chunk is not None
        assert chunk.end is not None
        reader.stop()

    asyncio.run(follow())


def test_a_follower_that_waits_ends_with_the_service(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_POLL_INTERVAL_S", 3600.0)
    job_id = add_logged_job(store, 3, status=JobStatus.RUNNING)

    async def follow() -> None:
        reader = LogFollower(store)
        position = Position(job_id, 4, LogQuery(follow=True), formats.TEXT)
        reading = asyncio.create_task(reader.read(position, live=True))
        await _begin_to_wait(reader)
        reader.stop()
        assert await reading is None

    asyncio.run(follow())
