"""The Serf monitor: follows the events of a Serf agent and reports the members' nodes to the store."""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from clusterm.common.backoff import Backoff
from clusterm.errors import NotFound, quote
from clusterm.monitoring.reports import NodeReport, report_each
from clusterm.monitoring.serf.members import Membership
from clusterm.monitoring.serf.rpc import Message, SerfClient, SerfFailure, connect
from clusterm.settings import Settings, split_address
from clusterm.store import runtime_values
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError

log = logging.getLogger(__name__)

T = TypeVar("T")

_RECONCILE_INTERVAL_S: Final = 60.0
"""Seconds between requests for all members, because an agent drops events for slow readers."""

_FIRST_RETRY_DELAY_S: Final = 1.0
_MAX_RETRY_DELAY_S: Final = 60.0
_QUEUE_LENGTH: Final = 20_000
"""Messages that are read ahead; the agent keeps further ones."""

_BATCH_LENGTH: Final = 1000
"""Messages that are stored together."""

_MAX_LOGGED: Final = 10
"""Complaints that are logged one by one."""


class SerfMonitor:
    """Follows a Serf agent. After a lost connection it reconnects and compares all members.

    Args:
        store: the store.
        settings: returns the present settings.

    Attributes:
        problem: why the agent cannot be followed at present; None if it can.
    """

    name: Final = "serf"

    def __init__(self, store: Store, settings: Callable[[], Settings]) -> None:
        self.problem: str | None = None
        self._store = store
        self._settings = settings
        self._serf = settings().serf
        self._messages: asyncio.Queue[Message] = asyncio.Queue(_QUEUE_LENGTH)
        self._known: set[str] = set()  # as in the store
        self._refused: dict[str, str] = {}  # by node, why
        self._reached = False
        self._backoff = Backoff(_FIRST_RETRY_DELAY_S, _MAX_RETRY_DELAY_S, jitter=0.5)

    @staticmethod
    def is_enabled(settings: Settings) -> bool:
        """Return whether the settings enable Serf."""
        return bool(settings.serf.addr)

    async def run(self) -> None:
        """Follow the agent until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._store_messages())

    async def _listen(self) -> None:
        """Put the agent's messages into the queue; reconnect after a failure."""
        while True:
            try:
                await self._follow()
            except (SerfFailure, OSError) as error:
                self._set_problem(f"the Serf agent at {self._serf.addr} cannot be used: {self._reason(error)}")
            await asyncio.sleep(self._backoff.fail())

    async def _follow(self) -> None:
        """Connect, and put messages into the queue until the connection fails."""
        host, port = split_address(self._serf.addr)
        async with connect(host, port, self._serf.auth_key.get_secret_value(), self._serf.timeout) as agent:
            while True:
                agent.ask_for_members()
                asked = True
                due = asyncio.get_running_loop().time() + _RECONCILE_INTERVAL_S
                while (message := await self._receive(agent, asked=asked, due=due)) is not None:
                    if message.event is None:
                        asked = False
                        self._clear_problem()
                    await self._messages.put(message)

    async def _receive(self, agent: SerfClient, *, asked: bool, due: float) -> Message | None:
        """Return the next message, or None when it is time to ask for all members again."""
        if asked:
            async with asyncio.timeout(self._serf.timeout):
                return await agent.receive()
        try:
            async with asyncio.timeout_at(due):
                return await agent.receive()
        except TimeoutError:
            return None

    async def _store_messages(self) -> None:
        """Report the messages of the queue to the store, in batches when many have arrived."""
        membership: Membership | None = None
        while True:
            messages = [await self._messages.get()]
            while len(messages) < _BATCH_LENGTH and not self._messages.empty():
                messages.append(self._messages.get_nowait())
            if membership is None:
                membership = Membership(await self._retry_until_stored(self._load))
            reports = [each for message in messages for each in membership.take(message)]
            _log_some([f"serf member {complaint}" for complaint in membership.complaints])
            membership.complaints.clear()
            for refused in await self._retry_until_stored(partial(self._write, reports, membership.nodes)):
                membership.take_back(refused)

    def _load(self) -> set[str]:
        """Return the nodes that Serf has reported before."""
        with self._store.read() as session:
            self._known = set(runtime_values.get(session, runtime_values.SERF).get("nodes", []))
        return self._known

    def _write(self, reports: Sequence[NodeReport], nodes: set[str]) -> list[NodeReport]:
        """Report changes to the store, and return the rejected ones.

        The list of nodes is extended before the report and shortened after it, so that no reported node is missing
        from the list after a crash.
        """
        self._remember(self._known | nodes)
        refused = report_each(self._store, self._settings(), reports) if reports else []
        self._remember(nodes)
        reasons = {each.name: str(reason) for each, reason in refused if not isinstance(reason, NotFound)}
        new = [(name, reason) for name, reason in reasons.items() if self._refused.get(name) != reason]
        _log_some([f"serf: {quote(name)} is refused: {reason}" for name, reason in new])
        for each in reports:
            self._refused.pop(each.name, None)
        self._refused |= reasons
        return [each for each, _ in refused if each.name in reasons]

    def _remember(self, nodes: set[str]) -> None:
        if nodes != self._known:
            with self._store.write() as session:
                runtime_values.put(session, runtime_values.SERF, {"nodes": sorted(nodes)})
            self._known = nodes

    async def _retry_until_stored(self, work: Callable[[], T]) -> T:
        """Do work with the store in a thread, and repeat it until it succeeds."""
        while True:
            try:
                return await asyncio.to_thread(work)
            except StoreError as error:
                log.error("cannot take in what Serf says, trying again: %s", error)  # noqa: TRY400
                await asyncio.sleep(_FIRST_RETRY_DELAY_S)

    def _reason(self, error: Exception) -> str:
        if isinstance(error, TimeoutError) and error.errno is None:
            return f"no answer within {self._serf.timeout} seconds"
        if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
            return os.strerror(error.errno)  # asyncio's own text repeats the address
        return str(error)

    def _set_problem(self, problem: str) -> None:
        if problem != self.problem:
            log.error("%s; trying again until it can", problem)
        self.problem = problem

    def _clear_problem(self) -> None:
        if self.problem is not None or not self._reached:
            log.info("following the Serf agent at %s", self._serf.addr)
        self.problem, self._reached = None, True
        self._backoff.reset()


def _log_some(lines: Sequence[str]) -> None:
    """Log complaints about members; if there are very many, only the first ones."""
    for line in lines[:_MAX_LOGGED]:
        log.warning("%s", line)
    if len(lines) > _MAX_LOGGED:
        log.warning("and so on: %d more of that kind", len(lines) - _MAX_LOGGED)
