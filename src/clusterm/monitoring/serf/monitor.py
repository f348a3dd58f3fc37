"""Watching nodes through Serf: what an agent says of its cluster's members goes into the store as it comes."""

import asyncio
import logging
import os
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

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

_RECONCILE_INTERVAL_S: Final = 60.0  # seconds between questions for all members; an agent drops events for slow readers
_FIRST_RETRY_DELAY_S: Final = (
    1.0  # seconds before the first further try; each one waits twice as long as the one before
)
_MAX_RETRY_DELAY_S: Final = 60.0
_QUEUED: Final = 20_000  # messages; more wait in the agent
_AT_ONCE: Final = 1000  # messages that are taken in together
_LOGGED: Final = 10  # complaints that are logged one by one


class SerfMonitor:
    """Follows an agent, and stays with it: where the connection breaks, it comes back and compares everything.

    Args:
        store: the store.
        settings: returns the configuration as it is now.

    Attributes:
        problem: why the agent cannot be followed now, if it cannot.
    """

    name: Final = "serf"

    def __init__(self, store: Store, settings: Callable[[], Settings]) -> None:
        self.problem: str | None = None
        self._store = store
        self._settings = settings
        self._serf = settings().serf
        self._messages: asyncio.Queue[Message] = asyncio.Queue(_QUEUED)
        self._known: set[str] = set()  # as in the store
        self._refused: dict[str, str] = {}  # by node, why
        self._reached = False

    async def run(self) -> None:
        """Follow the agent until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._take_in())

    async def _listen(self) -> None:
        """Put what the agent says into the queue; after a failure try again, later each time."""
        failures = 0
        while True:
            try:
                await self._follow()
            except (SerfFailure, OSError) as error:
                failures = failures + 1 if self.problem else 1
                self._say_problem(f"the Serf agent at {self._serf.addr} cannot be used: {self._reason(error)}")
            pause = min(_FIRST_RETRY_DELAY_S * 2 ** min(failures - 1, 10), _MAX_RETRY_DELAY_S)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 -- it is no secret

    async def _follow(self) -> None:
        host, port = split_address(self._serf.addr)
        async with connect(host, port, self._serf.auth_key.get_secret_value(), self._serf.timeout) as agent:
            while True:
                agent.ask_for_members()
                asked = True
                due = asyncio.get_running_loop().time() + _RECONCILE_INTERVAL_S
                while (message := await self._receive(agent, asked=asked, due=due)) is not None:
                    if message.event is None:
                        asked = False
                        self._say_well()
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

    async def _take_in(self) -> None:
        """Bring what is in the queue into the store, much at once when much has come."""
        membership: Membership | None = None
        while True:
            messages = [await self._messages.get()]
            while len(messages) < _AT_ONCE and not self._messages.empty():
                messages.append(self._messages.get_nowait())
            if membership is None:
                membership = Membership(await self._insist(self._load))
            news = [each for message in messages for each in membership.take(message)]
            _log_some([f"serf member {complaint}" for complaint in membership.complaints])
            membership.complaints.clear()
            for refused in await self._insist(partial(self._write, news, membership.nodes)):
                membership.take_back(refused)

    def _load(self) -> set[str]:
        """Return the nodes that Serf has told of before."""
        with self._store.read() as session:
            self._known = set(runtime_values.get(session, runtime_values.SERF).get("nodes", []))
        return self._known

    def _write(self, news: Sequence[NodeReport], nodes: set[str]) -> list[NodeReport]:
        """Bring news into the store and return what was refused.

        Nodes are remembered before they are reported and forgotten after that, so that none is there unnoticed.
        """
        self._remember(self._known | nodes)
        refused = report_each(self._store, self._settings(), news) if news else []
        self._remember(nodes)
        reasons = {each.name: str(reason) for each, reason in refused if not isinstance(reason, NotFound)}
        new = [(name, reason) for name, reason in reasons.items() if self._refused.get(name) != reason]
        _log_some([f"serf: {quote(name)} is refused: {reason}" for name, reason in new])
        for each in news:
            self._refused.pop(each.name, None)
        self._refused |= reasons
        return [each for each, _ in refused if each.name in reasons]

    def _remember(self, nodes: set[str]) -> None:
        if nodes != self._known:
            with self._store.write() as session:
                runtime_values.put(session, runtime_values.SERF, {"nodes": sorted(nodes)})
            self._known = nodes

    async def _insist(self, work: Callable[[], T]) -> T:
        """Do work with the store in a thread, again and again until it succeeds."""
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

    def _say_problem(self, problem: str) -> None:
        if problem != self.problem:
            log.error("%s; trying again until it can", problem)
        self.problem = problem

    def _say_well(self) -> None:
        if self.problem is not None or not self._reached:
            log.info("following the Serf agent at %s", self._serf.addr)
        self.problem, self._reached = None, True


def _log_some(lines: Sequence[str]) -> None:
    """Log what is wrong with members; of very many the first ones must do."""
    for line in lines[:_LOGGED]:
        log.warning("%s", line)
    if len(lines) > _LOGGED:
        log.warning("and so on: %d more of that kind", len(lines) - _LOGGED)
