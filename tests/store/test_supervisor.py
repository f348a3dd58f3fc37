"""The supervisor after an unexpected error, and with an executor that stands still."""

import contextlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil
import pytest
from support.service import wait_for

from clusterm.background.supervisor import Supervisor
from clusterm.enums import Action, JobStatus
from clusterm.executor import stopped
from clusterm.jobs import queue
from clusterm.settings import Settings
from clusterm.store import jobs as job_queries
from clusterm.store import tables
from clusterm.store.engine import Store
from clusterm.store.migrations import migrate


def test_a_defect_does_not_end_the_supervision_of_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings.model_validate({"manager": {"state_dir": tmp_path}})
    looks: list[object] = []

    def look(*arguments: object) -> None:
        looks.append(arguments)
        assert len(looks) > 1, "a defect"

    monkeypatch.setattr(queue, "begin_queued", look)
    with contextlib.closing(Store(settings.store_url)) as store:
        migrate(store)
        supervisor = Supervisor(store, lambda: settings, echo_job_logs=False)
        supervisor.start()
        wait_for(lambda: len(looks) > 1, "another look")
        supervisor.stop()
    assert "a defect" in caplog.text


def test_an_executor_that_was_stopped_is_continued_after_a_while(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.model_validate({"manager": {"state_dir": tmp_path}})
    directory = settings.jobs_dir / "1"
    directory.mkdir(parents=True)
    program = [sys.executable, "-c", "import time; time.sleep(600)", "clusterm.executor", str(directory)]
    with store.write() as session:
        job: dict[str, Any] = {
            "id": 1,
            "host_group": "",
            "extra_vars": {},
            "requested_by": "ann",
            "created_at": datetime.now(UTC),
        }
        session.add(tables.Job(action=Action.DECOMMISSION, status=JobStatus.RUNNING, **job))
    executor = psutil.Popen(program)
    try:
        (directory / "lock").write_text(f"0 {executor.pid}")
        executor.suspend()
        wait_for(lambda: executor.status() == psutil.STATUS_STOPPED, "the executor to be stopped")
        supervisor = Supervisor(store, lambda: settings, echo_job_logs=False)
        supervisor._executor_of(1)
        supervisor._continue_executor(1, at_once=False)
        assert executor.status() == psutil.STATUS_STOPPED
        monkeypatch.setattr(stopped, "MAX_STOPPED_S", 0)
        supervisor._continue_executor(1, at_once=False)
        wait_for(lambda: executor.status() != psutil.STATUS_STOPPED, "the executor to be continued")
    finally:
        executor.kill()
        executor.wait()
    with store.read() as session:
        assert job_queries.get(session, 1).warnings == ["its executor was stopped by a signal and has been continued"]


@pytest.mark.parametrize(("status", "lost"), [(0, 0), (1, 1), (-9, 1)])
def test_an_executor_that_has_just_ended_its_job_is_not_lost(
    store: Store, tmp_path: Path, status: int, lost: int
) -> None:
    settings = Settings.model_validate({"manager": {"state_dir": tmp_path}})
    supervisor = Supervisor(store, lambda: settings, echo_job_logs=False)
    executor = supervisor._executor_of(1)
    executor.begin(
        Popen([sys.executable, "-c", f"import os; os.kill(os.getpid(), 9) if {status} < 0 else exit({status})"])
    )
    assert executor.process is not None
    executor.process.wait()
    executor.backoff.fail()  # no other one is started
    supervisor._supervise(1)
    assert supervisor.lost_executors == lost
