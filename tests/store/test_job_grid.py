"""The grid of a job: its characters, its order, its pages, and when half of the nodes had ended a task."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from support.rows import BEGAN, add_traced_job

from clusterm.enums import StepName, TaskStatus
from clusterm.schemas import Failure
from clusterm.store import failures, job_grid, tables
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.migrations import migrate


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(f"sqlite:///{tmp_path / 'clusterm.db'}")) as store:
        migrate(store)
        yield store


def test_nodes_that_failed_come_first(store: Store) -> None:
    job_id = add_traced_job(store, tasks=3, nodes=9)
    with store.write() as session:
        failures.add(
            session,
            job_id,
            [Failure(node="node2-a", step=StepName.CONFIGURE, play=None, task=None, message="", line=1)],
        )
        result = session.get_one(tables.TaskResult, (job_id, 2 * 9 + 0))
        result.status = None
        session.delete(session.get_one(tables.TaskResult, (job_id, 3 * 9 + 1)))
    with store.read() as session:
        found = job_grid.grid(session, job_queries.get(session, job_id), limit=10)
    assert found.nodes == ["node2-a", "node6-a", *(f"node{number}-a" for number in (0, 1, 3, 4, 5, 7, 8))]
    assert found.rows[:4] == ["...", "FFF", "b..", ". ."]
    assert [(task.task, task.failed) for task in found.tasks] == [("task 2", 1), ("task 3", 1), ("task 4", 1)]
    assert (found.failed, found.total, found.next) == (2, 9, None)
    assert found.tasks[0].median_at == BEGAN + timedelta(milliseconds=4)


def test_pages(store: Store) -> None:
    job_id = add_traced_job(store, tasks=2, nodes=9)
    names, cursor = list[str](), 0
    with store.read() as session:
        job = job_queries.get(session, job_id)
        while True:
            page = job_grid.grid(session, job, limit=4, skip=cursor)
            assert len(page.nodes) == len(page.rows) <= 4
            names += page.nodes
            if page.next is None:
                break
            cursor = int(page.next)
    assert names == ["node6-a", *(f"node{number}-a" for number in (0, 1, 2, 3, 4, 5, 7, 8))]


def test_more_nodes_than_a_query_may_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_grid, "_MAX_NAMED", 3)
    job_id = add_traced_job(store, tasks=1, nodes=9)
    with store.read() as session:
        assert "".join(job_grid.grid(session, job_queries.get(session, job_id), limit=5).rows) == "F...."


def test_each_status_has_a_character_of_its_own() -> None:
    assert set(job_grid.CELLS) == {*TaskStatus, None}
    assert len({job_grid.NOT_RUN, *job_grid.CELLS.values()}) == len(job_grid.CELLS) + 1


def test_the_last_result_of_a_task_on_a_node_counts(store: Store) -> None:
    job_id = add_traced_job(store, tasks=1)
    with store.write() as session:
        again = tables.TaskResult(job_id=job_id, number=99, task=2, node="node0-a", status=TaskStatus.CHANGED)
        again.first_line = 77
        session.add(again)
    with store.read() as session:
        assert job_grid.grid(session, job_queries.get(session, job_id), limit=1).rows == ["c"]
        assert job_grid.first_line(session, job_id, "node0-a", 2) == 77
        assert job_grid.first_line(session, job_id, "node0-a", 3) is None
