"""The monitors that the settings enable, in an event loop of their own."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from clusterm.common.background_task import AsyncPeriodicTask
from clusterm.monitoring.probe import Probe
from clusterm.monitoring.serf.monitor import SerfMonitor
from clusterm.settings import Settings
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError

_CHECK_INTERVAL_S: Final = 5.0
_RESTART_DELAY_S: Final = 30.0
_STOP_TIMEOUT_S: Final = 5.0  # long enough for a transaction


class Monitor(Protocol):
    """Watches nodes and reports to the store which of them are reachable.

    Args:
        store: the store.
        settings: returns the present settings.

    Attributes:
        problem: why the nodes cannot be watched at present; None if they can.
    """

    problem: str | None

    def __init__(self, store: Store, settings: Callable[[], Settings]) -> None: ...

    @property
    def name(self) -> str:
        """Name of the monitor in checks and logs."""

    @staticmethod
    def is_enabled(settings: Settings, /) -> bool:
        """Return whether the settings enable this monitor."""

    async def run(self) -> None:
        """Watch the nodes until cancelled."""


MONITORS: Final[tuple[type[Monitor], ...]] = (SerfMonitor, Probe)
"""All kinds of monitors. A new one is added here."""


class Monitors(AsyncPeriodicTask):
    """Keeps the enabled monitors running: a run of this task starts the monitors that do not run.

    Args:
        store: the store.
        settings: returns the present settings. Changes of the set of enabled monitors need a restart.
    """

    def __init__(self, store: Store, settings: Callable[[], Settings]) -> None:
        super().__init__(
            "monitors",
            _CHECK_INTERVAL_S,
            stop_timeout=_STOP_TIMEOUT_S,
            expected=(OSError, StoreError),
        )
        self._monitors = [_Keeper(monitor(store, settings)) for monitor in MONITORS if monitor.is_enabled(settings())]

    def problems(self) -> dict[str, str | None]:
        """Return what prevents each monitor from watching at present, None if nothing does."""
        return {each.monitor.name: each.monitor.problem for each in self._monitors}

    async def run(self) -> None:
        """Start the monitors that do not run. A monitor that has failed is down for a while."""
        for each in self._monitors:
            with self.isolated(each.monitor.name):
                each.keep_running()


class _Keeper:
    """Runs one monitor, and starts it again some time after a failure."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self._running: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._restart_at = 0.0  # time of the event loop

    def keep_running(self) -> None:
        """Start the monitor if it does not run.

        Raises:
            Exception: the monitor has failed, and is not to be restarted yet.
        """
        now = asyncio.get_running_loop().time()
        if self._running is not None and self._running.done():
            self._failure = self._running.exception() or RuntimeError("the monitor has ended")
            self._running, self._restart_at = None, now + _RESTART_DELAY_S
        if self._running is not None:
            return
        if self._failure is not None and now < self._restart_at:
            raise self._failure
        self._failure = None
        self._running = asyncio.create_task(self.monitor.run())
