"""The first page: the state of the service and of the cluster."""

from collections import Counter

from fastapi import Request, Response

from clusterm.routes.dependencies import ServicesDep
from clusterm.routes.health import read_status
from clusterm.store import events
from clusterm.web import changes, pages
from clusterm.web.page_routes import PageRouter

routes = PageRouter()

_EVENTS = 20


@routes.add("GET", "/ui/")
def get_overview(request: Request, services: ServicesDep) -> Response:
    """Return the page."""
    with services.store.read() as session:
        live = changes.state(session, lines=True)
    status = read_status(request, services)
    with services.store.read() as session:
        bounds = services.live_settings.current.retention.timeline_bounds
        latest = events.timeline(session, bounds, events.TimelineFilter(), limit=_EVENTS)
    by_status, by_state = Counter[str](), Counter[str]()
    for count in status.nodes:
        by_status[count.status] += count.nodes
        by_state[count.state] += count.nodes
    ended = {job.id: job for job in (status.last_job, status.last_failure) if job is not None}
    return pages.render(
        request,
        "overview.html",
        live=live,
        status=status,
        by_status=by_status,
        by_state=by_state,
        ended=list(ended.values()),
        events=latest[::-1],
    )
