"""The request with which a visible page waits for the next change of the cluster."""

import time
from typing import Annotated, Final

from anyio import to_thread
from fastapi import Query, Request, Response

from clusterm.routes.auth import principal_of
from clusterm.routes.dependencies import ServicesDep, value_response
from clusterm.store import events
from clusterm.store import jobs as job_queries
from clusterm.store.engine import Store
from clusterm.store.session import Session
from clusterm.web.page_routes import PageRouter

routes = PageRouter()

_WAIT_S: Final = 25.0
"""Time after which the request is answered without a change. An idle page thus sends less than three a minute."""

_INTERVAL_S: Final = 1.0


@routes.add("GET", "/ui/changes", is_page=False)
async def get_changes(
    request: Request,
    services: ServicesDep,
    *,
    after: Annotated[str, Query(max_length=10_000)] = "",
    lines: bool = False,
) -> Response:
    """Wait until the state differs from the one that a page shows, and return it; at most 25 seconds.

    With `lines`, each log line of a running job is a change, too.
    """
    until = time.monotonic() + _WAIT_S
    with services.authenticator.stream(principal_of(request)):
        while True:
            found = await to_thread.run_sync(_read, services.store, lines)
            if found != after or time.monotonic() > until or await request.is_disconnected():
                break
            if await services.follower.stops_within(_INTERVAL_S):
                break
    response = value_response({"state": found})
    response.headers["Cache-Control"] = "no-store"
    return response


def state(session: Session, *, lines: bool = False) -> str:
    """Return a text that differs after each event and, with `lines`, after each line that a running job writes."""
    jobs = [f"{job.id}:{job.lines}" for job in job_queries.running(session)] if lines else []
    return " ".join([str(events.last_id(session)), *jobs])


def _read(store: Store, lines: bool) -> str:  # noqa: FBT001 -- called in a thread, which takes no keywords
    with store.read() as session:
        return state(session, lines=lines)
