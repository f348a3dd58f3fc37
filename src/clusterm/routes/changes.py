"""Route that answers when something has happened, so that pages and programs need not ask again and again."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Query, Request, Response

from clusterm import schemas
from clusterm.routes.auth import principal_of
from clusterm.routes.dependencies import Router, Services, ServicesDep, json_response, problem_responses
from clusterm.store import events
from clusterm.store.session import Session

T = TypeVar("T")

routes = Router("jobs")

_POLL_INTERVAL_S: Final = 0.5
_MAX_WAIT_S: Final = 25
"""Proxies close a connection without data after 30 seconds or more."""

_READER: Final = CapacityLimiter(1)
"""The thread that looks; the other threads stay available for other requests."""


@routes.get(
    "/info/changes", response_model=schemas.Changes, responses=problem_responses(422), summary="Wait for a change"
)
async def get_changes(
    request: Request,
    services: ServicesDep,
    after: Annotated[int | None, Query(ge=0, le=2**62, description="Wait for an event with a greater id.")] = None,
    wait: Annotated[float, Query(ge=0, le=_MAX_WAIT_S, description="Seconds to wait at most.")] = 0,
) -> Response:
    """Return the id of the newest event: at once, or with `after` and `wait` when there is a newer one.

    If nothing happens within `wait` seconds, the response has the same id again. Events of all kinds count. A request
    that waits counts as an open stream of its token.
    """
    if after is None:
        return json_response(await _look(services, events.newest))
    found = await wait_for_change(
        request, services, events.newest, lambda found: found.event > after, wait=wait, interval=_POLL_INTERVAL_S
    )
    return json_response(found)


async def wait_for_change(
    request: Request,
    services: Services,
    read: Callable[[Session], T],
    is_new: Callable[[T], bool],
    *,
    wait: float,
    interval: float,
) -> T:
    """Read until what is read is new, and return it; also when the time is over, or the service or the client stops.

    Args:
        request: the request that waits. It counts as an open stream of its token.
        services: the service.
        read: reads in a transaction.
        is_new: whether what was read is what the client waits for.
        wait: seconds to wait at most.
        interval: seconds between two reads.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + wait
    with services.authenticator.stream(principal_of(request)):
        while True:
            found = await _look(services, read)
            if is_new(found) or loop.time() >= until or await request.is_disconnected():
                return found
            if await services.follower.stops_within(interval):
                return found


async def _look(services: Services, read: Callable[[Session], T]) -> T:
    def look() -> T:
        with services.store.read() as session:
            return read(session)

    return await to_thread.run_sync(look, limiter=_READER)
