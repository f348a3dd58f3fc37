"""Monitors are kept running: one that fails is started again, and does not affect the others."""

import asyncio
from collections.abc import Callable
from typing import ClassVar

import pytest
from support.service import wait_for

from clusterm.monitoring import monitors
from clusterm.monitoring.monitors import MONITORS, Monitors
from clusterm.settings import Settings
from clusterm.store.engine import Store


class Steady:
    """A monitor that works."""

    starts: ClassVar[int] = 0
    name = "steady"
    problem: str | None = "the agent is gone"

    def __init__(self, store: Store, settings: Callable[[], Settings]) -> None:
        pass

    @staticmethod
    def is_enabled(_: Settings) -> bool:
        return True

    async def run(self) -> None:
        type(self).starts += 1
        await asyncio.Event().wait()


class Broken(Steady):
    """A monitor with a defect, until it has been started a few times."""

    starts: ClassVar[int] = 0
    name = "broken"
    problem = None

    async def run(self) -> None:
        type(self).starts += 1
        if self.starts < 3:
            raise ValueError("a defect")
        await asyncio.Event().wait()


class Disabled(Steady):
    """A monitor that no settings enable."""

    @staticmethod
    def is_enabled(_: Settings) -> bool:
        return False


def test_a_monitor_that_fails_is_started_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(monitors, "MONITORS", (Broken, Steady, Disabled))
    monkeypatch.setattr(monitors, "_CHECK_INTERVAL_S", 0.001)
    monkeypatch.setattr(monitors, "_RESTART_DELAY_S", 0.02)
    task = Monitors(store, Settings)
    assert task.problems() == {"broken": None, "steady": "the agent is gone"}
    task.start()
    wait_for(lambda: Broken.starts == 3, "the broken monitor to work")
    failures = task.status.failures
    assert failures > 2, "the runs fail for as long as the monitor is down"
    wait_for(lambda: task.status.last_success is not None, "a run that succeeds")
    task.stop()
    assert task.status.last_error == "broken: a defect"
    assert Steady.starts == 1
    assert "background task monitors failed for broken, retrying" in caplog.text


@pytest.mark.parametrize(
    ("addr", "probe", "names"), [("", True, ["probe"]), ("h:1", False, ["serf"]), ("h:1", True, ["serf", "probe"])]
)
def test_the_settings_enable_monitors(store: Store, addr: str, probe: bool, names: list[str]) -> None:
    settings = Settings.model_validate({"serf": {"addr": addr}, "monitor": {"probe": probe}})
    assert list(Monitors(store, lambda: settings).problems()) == names
    assert len(MONITORS) == 2
