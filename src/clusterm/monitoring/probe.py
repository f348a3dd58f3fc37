"""The probe: looks periodically whether an ssh server answers where ansible would connect to each node."""

import asyncio
import errno
import json
import logging
import os
import random
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from clusterm.common.addresses import Place, ssh_port
from clusterm.enums import State
from clusterm.monitoring.reports import ProbeResult, report_probe_results
from clusterm.monitoring.ssh_server import identify
from clusterm.settings import Settings
from clusterm.store import nodes, runtime_values
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError

log = logging.getLogger(__name__)

_SPREAD_RATIO: Final = 0.8
"""Part of the interval over which the connections of one round are spread."""

_REPORT_INTERVAL_S: Final = 1.0
"""Seconds between reports during a round."""

_SSH: Final = frozenset({"ssh", "smart", "paramiko", "ansible.builtin.ssh", "ansible.builtin.paramiko_ssh"})
_UNREACHABLE: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EINVAL,  # a link-local address without a zone
        errno.ENETUNREACH,
        errno.EPIPE,
        errno.ETIMEDOUT,
    }
)
"""Errors that are about the node. Others, such as too few file descriptors, are about this machine."""
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})


class Target(NamedTuple):
    """The ssh port of a node."""

    name: str
    place: Place
    """Where the node is, as the store has it."""
    host: str
    """Where ansible connects to: extra vars may change host and port."""
    port: int


class Probe:
    """Connects to every node once per interval, in random order and at random times.

    A node has disappeared when several connections in a row failed; it is back after one success.

    Args:
        store: the store.
        settings: returns the present settings.

    Attributes:
        problem: why nodes cannot be probed at present; None if they can.
    """

    name: Final = "probe"

    def __init__(self, store: Store, settings: Callable[[], Settings]) -> None:
        self.problem: str | None = None
        self._store = store
        self._settings = settings
        self._monitor = settings().monitor
        self._free = asyncio.Semaphore(self._monitor.concurrency)
        self._misses: dict[Target, int] = {}
        self._results: dict[Target, ProbeResult] = {}  # to be reported
        self._trouble: str | None = None
        self._warned = False

    @staticmethod
    def is_enabled(settings: Settings) -> bool:
        """Return whether the settings enable the probe."""
        return settings.probes

    async def run(self) -> None:
        """Probe the nodes until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await self.look_at_all()
            pause = self._monitor.interval * random.uniform(0.9, 1.1)  # noqa: S311 -- not a secret
            await asyncio.sleep(max(0.0, began + pause - loop.time()))

    async def look_at_all(self) -> int:
        """Probe every node once, and return the number of nodes."""
        try:
            targets = await asyncio.to_thread(self._targets)
        except StoreError as error:
            self._set_problem(f"the nodes cannot be read: {error}")
            return 0
        states = dict(targets)
        self._misses = {target: count for target, count in self._misses.items() if target in states}
        self._trouble = None
        answered = 0

        async def examine(target: Target, state: State) -> None:
            nonlocal answered
            try:
                answered += await self._look(target, state)
            finally:
                self._free.release()

        reporting = asyncio.create_task(self._keep_reporting())
        try:
            async with asyncio.TaskGroup() as tasks:
                loop = asyncio.get_running_loop()
                began, spread = loop.time(), self._monitor.interval * _SPREAD_RATIO
                for number, (target, state) in enumerate(targets):
                    await asyncio.sleep(max(0.0, began + spread * number / len(targets) - loop.time()))
                    await self._free.acquire()
                    tasks.create_task(examine(target, state))
        finally:
            reporting.cancel()
        await self._report()
        self._set_problem(self._trouble)
        self._warn_if_none_answers(len(targets), answered)
        return len(targets)

    async def _look(self, target: Target, state: State) -> bool:
        """Probe one node, record a change of its state, and return whether it answered."""
        try:
            missed = await _connect(target.host, target.port, self._monitor.timeout)
        except OSError as error:
            self._trouble = f"{target.name} cannot be looked at: {error.strerror or error}"
            return False
        except Exception as error:  # a defect; but the other nodes of the round are still to be probed
            trouble = f"{target.name} cannot be looked at: {error!r}"
            if trouble != self.problem:
                log.exception("the probe of %s failed. Please report this", target.name)
            self._trouble = trouble
            return False
        if missed is None:
            self._misses.pop(target, None)
            if state is not State.DISCOVERED:
                self._results[target] = ProbeResult(target.name, target.place, None)
            return True
        if state is State.DISCOVERED:
            count = self._misses[target] = self._misses.get(target, 0) + 1
            if count >= self._monitor.misses:
                times = f", {count} times in a row" if count > 1 else ""
                why = f"no answer at {target.host} port {target.port}: {missed}{times}"
                self._results[target] = ProbeResult(target.name, target.place, why)
        else:
            self._misses.pop(target, None)  # another monitor may report it before its ssh server has started
        return False

    async def _keep_reporting(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_INTERVAL_S)
            await self._report()

    async def _report(self) -> None:
        """Report changes to the store. After a failure the next round finds the same changes again."""
        results, self._results = self._results, {}
        if not results:
            return
        try:
            await asyncio.to_thread(report_probe_results, self._store, self._settings(), list(results.values()))
        except StoreError as error:
            self._trouble = f"what was found cannot be stored: {error}"
            return
        for target in results:
            self._misses.pop(target, None)
        lost = sum(result.missed is not None for result in results.values())
        log.info("the probe has found %d nodes back and %d gone", len(results) - lost, lost)

    def _targets(self) -> list[tuple[Target, State]]:
        """Return the ssh ports of the nodes and the nodes' states, in random order.

        Nodes that ansible does not reach over ssh are left out, and nodes whose place belongs to another node now.
        """
        with self._store.read() as session:
            overriding = runtime_values.get(session, runtime_values.GLOBALS)
            rows = nodes.whereabouts(session)
        overriding = json.loads(self._settings().ansible.extra_variables) | overriding
        taken = {row.place for row in rows if row.state is State.DISCOVERED}
        found = [
            (target, row.state)
            for row in rows
            if (row.state is State.DISCOVERED or row.place not in taken)
            and (target := _target(row.name, row.place, row.inventory_vars | overriding)) is not None
        ]
        random.shuffle(found)
        return found

    def _set_problem(self, problem: str | None) -> None:
        if problem is not None and problem != self.problem:
            log.error("%s; trying again", problem)
        self.problem = problem

    def _warn_if_none_answers(self, looked_at: int, answered: int) -> None:
        """Warn once that the probe may be misconfigured, unless a node has answered before."""
        if answered:
            self._warned = True
        elif looked_at and not self._warned and self.problem is None:
            self._warned = True
            log.warning(
                "no node answers at its ssh port (%d looked at). If they are not to be reached directly from here, "
                "as behind a jump host, switch the probe off: monitor.probe = false",
                looked_at,
            )


def _target(name: str, place: Place, variables: Mapping[str, Any]) -> Target | None:
    """Return the port that ansible would connect to; None without ssh, or if the port depends on a template.

    The variables are those of users, of any type.
    """
    connection, host = variables.get("ansible_connection", "ssh"), variables.get("ansible_host", place.address)
    port = ssh_port(variables)
    if not isinstance(connection, str) or not isinstance(host, str) or port is None:
        return None
    return Target(name, place, host, port) if connection in _SSH and "{{" not in host else None


async def _connect(host: str, port: int, timeout: float) -> str | None:  # noqa: ASYNC109
    """Connect to a port as ssh would: to each address of a name in turn. Return why that failed, None on success.

    Raises:
        OSError: this machine cannot connect.
    """
    missed: str | None = "the name has no address"
    is_open = False
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            for family, _, _, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                with socket.socket(family, socket.SOCK_STREAM) as connecting:
                    connecting.settimeout(0)
                    try:
                        await loop.sock_connect(connecting, address)
                        is_open = True
                        missed = await identify(connecting)
                    except OSError as error:
                        if error.errno not in _UNREACHABLE:
                            raise
                        missed = os.strerror(error.errno)
                    if missed is None:
                        return None
    except TimeoutError:
        return f"{'the port is open, but no ssh server answered' if is_open else 'nothing'} within {timeout:g} seconds"
    except UnicodeError:
        return "the name is no host name"
    except socket.gaierror as error:
        if error.errno not in _NO_SUCH_NAME:
            raise
        return f"the name cannot be resolved: {error.strerror}"
    return missed
