"""The monitors that the configuration asks for, in a thread with an event loop of its own, apart from the API's."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Final

from clusterm.monitoring.probe import Probe
from clusterm.monitoring.serf.monitor import SerfMonitor
from clusterm.settings import Settings
from clusterm.store.engine import Store

log = logging.getLogger(__name__)

_RESTART_DELAY_S: Final = 30.0  # seconds before a monitor that failed begins anew
_STOP_TIMEOUT_S: Final = 5.0  # seconds to wait for a transaction at the end


class Monitors:
    """Starts and stops the monitors.

    Args:
        store: the store.
        settings: returns the configuration as it is now; which monitors there are is settled at the start.
    """

    def __init__(self, store: Store, settings: Callable[[], Settings]) -> None:
        self._monitors: list[SerfMonitor | Probe] = []
        if settings().serf.addr:
            self._monitors.append(SerfMonitor(store, settings))
        if settings().probes:
            self._monitors.append(Probe(store, settings))
        self._stop: Callable[[], object] = lambda: None
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), name="monitors", daemon=True)

    def start(self) -> None:
        """Begin to watch the nodes."""
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """End."""
        self._stop()
        self._thread.join(_STOP_TIMEOUT_S)

    def problems(self) -> dict[str, str | None]:
        """Return what keeps each monitor from its work now, if anything does."""
        return {monitor.name: monitor.problem for monitor in self._monitors}

    async def _watch(self) -> None:
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        self._stop = lambda: loop.call_soon_threadsafe(stopping.set)
        self._started.set()
        running = [asyncio.create_task(_keep_running(monitor)) for monitor in self._monitors]
        await stopping.wait()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _keep_running(monitor: SerfMonitor | Probe) -> None:
    """Run a monitor, and once more where it fails by a defect: nodes are to be watched all the same."""
    while True:
        try:
            await monitor.run()
        except Exception:
            log.exception("a monitor has a defect; it begins anew in %g seconds. Please report it", _RESTART_DELAY_S)
        await asyncio.sleep(_RESTART_DELAY_S)
