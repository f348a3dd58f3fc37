"""The request with which a visible page waits for the next change of the cluster."""

from functools import partial
from typing import Annotated, Final

from fastapi import Query, Request, Response

from clusterm.routes.changes import wait_for_change
from clusterm.routes.dependencies import ServicesDep, value_response
from clusterm.store import events
from clusterm.store import jobs as job_queries
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
    read = partial(state, lines=lines)
    found = await wait_for_change(
        request, services, read, lambda found: found != after, wait=_WAIT_S, interval=_INTERVAL_S
    )
    response = value_response({"state": found})
    response.headers["Cache-Control"] = "no-store"
    return response


def state(session: Session, *, lines: bool = False) -> str:
    """Return a text that differs after each event and, with `lines`, after each line that a running job writes."""
    jobs = [f"{job.id}:{job.lines}" for job in job_queries.running(session)] if lines else []
    return " ".join([str(events.last_id(session)), *jobs])
