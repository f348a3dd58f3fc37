"""Pages of tasks, and differences between the results of two jobs."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.rows import add_logged_job

from clusterm.enums import StepName, TaskStatus
from clusterm.store import job_diff, tables, task_results
from clusterm.store.engine import Store
from clusterm.store.migrations import migrate

OK, CHANGED, FAILED, SKIPPED = TaskStatus.OK, TaskStatus.CHANGED, TaskStatus.FAILED, TaskStatus.SKIPPED


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(f"sqlite:///{tmp_path / 'clusterm.db'}")) as store:
        migrate(store)
        yield store


def add_results(store: Store, *results: tuple[str, str, TaskStatus | None], play: str | None = "Configure") -> int:
    """Store a job with results: task, node and status of each. The same task twice in sequence is one task."""
    job_id = add_logged_job(store, 0)
    with store.write() as session:
        session.add(tables.JobStep(job_id=job_id, number=1, name=StepName.CONFIGURE, playbook="site.yml"))
        task, last = 6, None  # after the tasks of the log
        for number, (name, node, status) in enumerate(results, start=1):
            if name != last:
                task, last = task + 1, name
                session.add(tables.JobTask(job_id=job_id, number=task, step=1, play=play, name=name))
            session.add(tables.TaskResult(job_id=job_id, number=number, task=task, node=node, status=status))
    return job_id


def test_a_page_of_tasks_ends_when_it_has_many_results(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_results, "MAX_PAGE_RESULTS", 5)
    job_id = add_results(store, *[(task, f"a-{node}", OK) for task in "ABCD" for node in range(2 if task < "D" else 9)])
    pages, after, more = [], 6, True
    with store.read() as session:
        while more:
            page, more = task_results.tasks(session, job_id, limit=3, after=after)
            pages.append([(task.task, len(task.results)) for task in page])
            after = page[-1].number
    assert pages == [[("A", 2), ("B", 2)], [("C", 2)], [("D", 9)]]


@pytest.mark.parametrize("play", ["Configure", None])
def test_each_repetition_of_a_task_is_compared_with_its_own(store: Store, play: str | None) -> None:
    before = add_results(
        store,
        *(("A", "a-1", OK), ("A", "a-2", FAILED), ("B", "a-1", SKIPPED), ("A", "a-1", CHANGED), ("C", "a-1", None)),
        play=play,
    )
    after = add_results(
        store,
        *(("A", "a-1", CHANGED), ("A", "a-2", FAILED), ("B", "a-1", None), ("A", "a-1", CHANGED), ("C", "a-1", FAILED)),
        ("D", "a-1", FAILED),
        ("D", "a-2", CHANGED),
        play=play,
    )
    with store.read() as session:
        diff = job_diff.compare(session, before, after)
    assert [(change.task, change.node, change.before) for change in diff.failing] == [
        ("C", "a-1", None),
        ("D", "a-1", None),
    ]
    assert [(change.task, change.node, change.before, change.after) for change in diff.changed] == [
        ("A", "a-1", OK, CHANGED)
    ]
    assert (diff.omitted, diff.failing[0].step, diff.failing[0].play) == (0, StepName.CONFIGURE, play)


def test_many_differences_are_counted_and_not_all_listed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_diff, "_MAX_LISTED", 2)
    before = add_results(store, *[("A", f"a-{node}", OK) for node in range(5)])
    after = add_results(store, *[("A", f"a-{node}", CHANGED if node else FAILED) for node in range(5)])
    with store.read() as session:
        diff = job_diff.compare(session, before, after)
    assert [change.node for change in diff.failing + diff.changed] == ["a-0", "a-1", "a-2"]
    assert diff.omitted == 2
