"""Which jobs pruning deletes, and that two processes may prune at once."""

from datetime import timedelta
from typing import Any

import pytest
from support.rows import NOW, add_node_row, add_plain_job
from support.service import wait_for

from clusterm.background import pruner
from clusterm.background.pruner import Pruner
from clusterm.enums import Action, JobStatus, Outcome
from clusterm.settings import MIB, RetentionSettings
from clusterm.store import jobs as job_queries
from clusterm.store import manifests, retention
from clusterm.store.engine import Store
from clusterm.store.retention import prune


def left(store: Store) -> list[int]:
    with store.read() as session:
        return [job.id for job in reversed(job_queries.history(session, limit=1000))]


def pruned(store: Store, **settings: Any) -> list[tuple[int, str]]:
    """Prune, and return what went and why."""
    return [(job.job_id, job.reason) for job in prune(store, RetentionSettings(**settings))]


def test_only_so_many_jobs_are_kept(store: Store) -> None:
    for _ in range(6):
        add_plain_job(store)
    assert pruned(store, jobs=4) == [(1, "more than 4 jobs"), (2, "more than 4 jobs")]
    assert left(store) == [3, 4, 5, 6]
    assert pruned(store, jobs=4) == []


def test_a_manifest_is_stored_once_and_kept_as_long_as_a_job_has_it(store: Store) -> None:
    made = [manifests.create({"site.yml": digest}, {"site.tools": "1.0"}) for digest in ("a", "a", "b")]
    digests = [manifest.digest for manifest in made]
    for manifest in made:
        with store.write() as session:
            manifests.store(session, manifest)
        add_plain_job(store, manifest=manifest.digest)

    def stored() -> list[bool]:
        with store.read() as session:
            return [manifests.load(session, digest) is not None for digest in digests]

    assert digests[0] == digests[1] != digests[2]
    prune_to = [(pruned(store, jobs=jobs), stored()) for jobs in (2, 1)]
    assert [kept for _, kept in prune_to] == [[True, True, True], [False, False, True]]
    with store.read() as session:
        kept = manifests.load(session, digests[2])
    assert kept is not None
    assert kept.collections == {"site.tools": "1.0"}


def test_a_manifest_names_a_bounded_number_of_files(store: Store) -> None:
    many = {f"roles/role{number}/tasks/main.yml": str(number) for number in range(manifests.MAX_FILES)}
    largest, larger = manifests.create(many, {}), manifests.create({**many, "one more": ""}, {})
    assert len(largest.content) < 100_000
    with store.write() as session:
        manifests.store(session, larger)
        found = manifests.load(session, larger.digest)
    assert found is not None
    assert found.files is None


def test_jobs_are_kept_for_so_many_days(store: Store) -> None:
    for days in (9, 8, 1, 0):
        add_plain_job(store, finished_at=NOW - timedelta(days=days))
    assert pruned(store, days=8.5) == [(1, "older than 8.5 days")]
    assert pruned(store, days=0) == []
    assert pruned(store, days=0.5) == [(2, "older than 0.5 days"), (3, "older than 0.5 days")]
    assert left(store) == [4]


def test_logs_are_kept_up_to_so_many_bytes_the_newest_first(store: Store) -> None:
    for size in (100, MIB // 2, 300, MIB // 2, 100):
        add_plain_job(store, bytes=size)
    reason = f"logs of more than {MIB} bytes"
    assert pruned(store, log_bytes=MIB) == [(1, reason), (2, reason)]
    assert left(store) == [3, 4, 5]


def test_the_last_successful_and_the_last_failed_job_of_each_node_are_kept(store: Store) -> None:
    old: dict[str, Any] = {"finished_at": NOW - timedelta(days=99), "bytes": 2 * MIB}
    for node in ("a-1", "a-2", "a-3"):
        add_node_row(store, node)
    add_plain_job(store, "a-1", status=JobStatus.ERRORED, **old)
    add_plain_job(store, "a-1", "a-2", status=JobStatus.ERRORED, **old)  # 2: the last failed one of a-1
    add_plain_job(store, "a-2", status=JobStatus.ERRORED, **old)  # 3: the last failed one of a-2
    add_plain_job(store, "a-1", **old)
    add_plain_job(store, "a-1", "a-2", "a-3", **old)  # 5: the last successful one of a-2 and a-3
    add_plain_job(store, "a-1", **old)  # 6: the last successful one of a-1
    add_plain_job(store, "a-1", status=JobStatus.CANCELLED, **old)
    settings = RetentionSettings(jobs=1, days=1, log_bytes=MIB)
    assert [job.job_id for job in prune(store, settings)] == [1, 4, 7]
    assert left(store) == [2, 3, 5, 6]


def test_the_outcome_of_the_node_decides_which_jobs_are_kept_for_it(store: Store) -> None:
    """Not the status of the job, in which other nodes may have failed; and nothing is kept for removed nodes."""
    add_node_row(store, "a-1")
    add_node_row(store, "a-2")
    errored, passed, undone = JobStatus.ERRORED, Outcome.PASSED, Outcome.UNDONE
    add_plain_job(store, "a-1", status=errored)  # 1: the last one that a-1 failed
    add_plain_job(store, "a-1", "a-2", status=errored, outcomes={"a-1": passed})  # 2: the last one that a-1 passed
    add_plain_job(store, "a-1", "removed-9", status=errored, outcomes={"a-1": Outcome.NOT_REACHED})
    add_plain_job(store, "removed-9", status=errored)
    add_plain_job(store, "a-2", status=errored, outcomes={"a-2": passed})  # 5: the last one that a-2 passed
    add_plain_job(store, "a-2", status=errored, outcomes={"a-2": undone})  # 6: the last one that a-2 failed
    add_plain_job(store, "removed-9")
    assert [job for job, _ in pruned(store, jobs=1)] == [3, 4]
    assert left(store) == [1, 2, 5, 6, 7]


def test_jobs_that_have_not_ended_are_not_touched(store: Store) -> None:
    add_plain_job(store, status=JobStatus.RUNNING)
    add_plain_job(store, status=JobStatus.QUEUED)
    for _ in range(3):
        add_plain_job(store, "a-2")
    assert [number for number, _ in pruned(store, jobs=1)] == [3, 4]
    assert left(store) == [1, 2, 5]


def test_the_service_prunes_by_itself(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruner, "_INTERVAL_S", 0.01)
    for _ in range(3):
        add_plain_job(store)
    service = Pruner(store, lambda: RetentionSettings(jobs=1))
    service.start()
    wait_for(lambda: left(store) == [3], "the service to prune")
    service.stop()


def test_two_may_prune_at_once(store: Store) -> None:
    for _ in range(4):
        add_plain_job(store)
    one = prune(store, RetentionSettings(jobs=1))
    assert next(one).job_id == 1
    assert pruned(store, jobs=1) == [(2, "more than 1 jobs"), (3, "more than 1 jobs")]
    assert list(one) == []
    assert left(store) == [4]


def test_a_job_that_cannot_be_deleted_does_not_affect_others(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    deleted: list[int] = []

    def delete(_: Store, job_id: int) -> bool:
        if job_id == 1:
            raise OSError("unreadable")
        deleted.append(job_id)
        return True

    jobs = [retention.Surplus(number, Action.UPDATE, ["a-1"], 0, "old") for number in (1, 2)]
    monkeypatch.setattr(retention, "surplus", lambda *_: jobs)
    monkeypatch.setattr(retention, "delete_job", delete)
    pruner = Pruner(store, RetentionSettings)
    with pruner.recorded():
        pruner.run()
    assert deleted == [2]
    assert pruner.status.last_error == "job 1: unreadable"
    assert "background task pruner failed for job 1, retrying: unreadable" in caplog.text
