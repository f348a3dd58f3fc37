"""The start of a wrapper that does not get far."""

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clusterm.enums import StepName
from clusterm.executor import wrapper
from clusterm.executor.step import StepRun
from clusterm.jobs.progress import NextStep
from clusterm.settings import RetentionSettings

KILLED_AT_ONCE = """
import os, pathlib, signal, sys
(pathlib.Path(sys.argv[1]) / "started").touch()
os.kill(os.getpid(), signal.SIGKILL)
"""
FAILING = "raise OSError(28, 'No space left on device')"


@pytest.fixture
def step(tmp_path: Path) -> Any:
    retention = RetentionSettings()
    spec = SimpleNamespace(stop_grace=1.0, location=tmp_path, environment={}, umask=0o022, retention=retention)
    upcoming = NextStep(StepName.CLEANUP, ["a-1"], batch=None, rolls_back=False)
    (tmp_path / "1-cleanup").mkdir()
    return StepRun(None, spec, tmp_path, 1, upcoming, None)  # type: ignore[arg-type]


def start(step: Any, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "program.py"
    file.write_text(program)
    monkeypatch.setattr(wrapper, "__file__", str(file))
    step._start_wrapper([])
    step._await_files()


def test_a_wrapper_that_is_killed_at_once_is_not_waited_for(
    step: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have started ansible: its traces decide."""
    start(step, KILLED_AT_ONCE, tmp_path, monkeypatch)


def test_a_wrapper_that_has_started_nothing_may_be_started_again(
    step: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OSError, match="cannot be started") as failed:
        start(step, FAILING, tmp_path, monkeypatch)
    assert failed.value.errno == errno.EAGAIN
