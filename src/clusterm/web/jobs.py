"""Pages of jobs, and the timeline."""

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Path, Query, Request, Response

from clusterm.enums import ENDED, Action, JobStatus, TokenRole
from clusterm.routes.dependencies import RequesterDep, ServicesDep
from clusterm.routes.jobs import cancel_job, explain_waits
from clusterm.schemas.base import ActionName
from clusterm.store import events, job_views, nodes
from clusterm.store import jobs as job_queries
from clusterm.web import changes, pages
from clusterm.web.page_routes import UNCHOSEN, PageRouter, redirect

routes = PageRouter()

_JOBS: Final = 50
_EVENTS: Final = 100
_TEXT: Final = 200
_MAX_ID: Final = 2**62
_OUTCOMES: Final = 50
_FAILURES: Final = 100
_HOURS: Final = (1, 6, 24, 24 * 7, 24 * 30)


@routes.add("GET", "/ui/jobs")
def get_jobs(
    request: Request,
    services: ServicesDep,
    status: Annotated[JobStatus | None, UNCHOSEN] = None,
    action: Annotated[ActionName | None, UNCHOSEN] = None,
    node: Annotated[str, Query(max_length=_TEXT)] = "",
    before: Annotated[int | None, Query(ge=1, le=_MAX_ID)] = None,
) -> Response:
    """Return a page of the list, newest first."""
    node = node.strip()
    with services.store.read() as session:
        live = changes.state(session)
        rows = job_queries.history(
            session,
            limit=_JOBS + 1,
            before=before,
            status=status,
            action=action,
            nodes=nodes.spellings(session, node) if node else None,
        )
        jobs = [job_views.summary(session, row) for row in rows[:_JOBS]]
    chosen = {"status": status, "action": action, "node": node}
    chosen = {name: value for name, value in chosen.items() if value}
    more = f"?{urlencode({**chosen, 'before': jobs[-1].id})}" if len(rows) > _JOBS else ""
    return pages.render(
        request,
        "jobs.html",
        live=live,
        jobs=jobs,
        chosen=chosen,
        more=more,
        statuses=list(JobStatus),
        actions=list(Action),
    )


@routes.add("GET", "/ui/jobs/{job}")
def get_job(request: Request, services: ServicesDep, job: str) -> Response:
    """Return the page of a job, by its id, `active` or `last`."""
    with services.store.read() as session:
        live = changes.state(session, lines=True)
        row = job_queries.resolve(session, job)
        found = job_views.to_wire(session, row)
        explain_waits(services, session, [found])
        good = job_queries.last_good(session, row)
        before = good.id if good else None
    return pages.render(
        request,
        "job.html",
        live=live,
        job=found,
        outcomes=job_views.worst_first(found)[:_OUTCOMES],
        most_failures=_FAILURES,
        before=before,
        ended=found.status in ENDED,
    )


@routes.add("POST", "/ui/jobs/{job}/cancel", role=TokenRole.OPERATOR)
def post_cancel(
    request: Request, services: ServicesDep, requester: RequesterDep, job: Annotated[int, Path(ge=1, le=_MAX_ID)]
) -> Response:
    """Cancel a job, and return to its page. Takes an id, because `active` may be another job by now."""
    cancel_job(services, requester, str(job))
    return redirect(request, f"/ui/jobs/{job}")


@routes.add("GET", "/ui/timeline")
def get_timeline(
    request: Request,
    services: ServicesDep,
    node: Annotated[str, Query(max_length=_TEXT)] = "",
    limit: Annotated[int, Query(ge=1, le=10_000)] = _EVENTS,
    hours: Annotated[int, Query(ge=1, le=24 * 366)] = 24,
) -> Response:
    """Return the latest events of the cluster or of some nodes, newest first; `hours` is for the picture above them.

    `node` is a node, or part of the names, addresses or host groups of nodes.
    """
    node = node.strip()
    bounds = services.live_settings.current.retention.timeline_bounds
    with services.store.read() as session:
        alike = {each.name for each in nodes.candidates(session) if each.contains(node)} if node else set()
        wanted = events.TimelineFilter(nodes=nodes.spellings(session, node) | alike if node else None)
        found = events.timeline(session, bounds, wanted, limit=limit + 1)
    more = (
        f"?{urlencode({'node': node, 'hours': hours, 'limit': min(10_000, limit * 10)})}"
        if len(found) > limit < 10_000
        else ""
    )
    return pages.render(
        request, "timeline.html", events=found[-limit:][::-1], node=node, more=more, hours=hours, choices=_HOURS
    )
