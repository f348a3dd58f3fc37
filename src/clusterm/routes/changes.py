"""Route that answers when something has happened, so that pages and programs need not ask again and again."""

import asyncio
from typing import Annotated, Final

from anyio import CapacityLimiter, to_thread
from fastapi import Query, Request, Response

from clusterm import schemas
from clusterm.routes.auth import principal_of
from clusterm.routes.dependencies import Router, Services, ServicesDep, json_response, problem_responses
from clusterm.store import events

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
        return json_response(await _newest(services))
    loop = asyncio.get_running_loop()
    until = loop.time() + wait
    with services.authenticator.stream(principal_of(request)):
        while True:
            found = await _newest(services)
            is_over = loop.time() >= until or services.follower.is_stopping
            if found.event > after or is_over or await request.is_disconnected():
                return json_response(found)
            await asyncio.sleep(_POLL_INTERVAL_S)


async def _newest(services: Services) -> schemas.Changes:
    def read() -> schemas.Changes:
        with services.store.read() as session:
            return events.newest(session)

    return await to_thread.run_sync(read, limiter=_READER)
