"""The supervisor after an unexpected error."""

import contextlib
from pathlib import Path

import pytest
from support.service import wait_for

from clusterm.background.supervisor import Supervisor
from clusterm.jobs import queue
from clusterm.settings import Settings
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
