"""Pages of jobs, and the timeline."""

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Path, Query, Request, Response

from clusterm.enums import ENDED, Action, JobStatus, Outcome, TokenRole
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
_WORST_FIRST: Final = (Outcome.FAILED, Outcome.UNDONE, Outcome.NOT_REACHED, Outcome.SKIPPED, Outcome.PASSED)


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
        found = job_views.to_wire(session, job_queries.resolve(session, job))
        explain_waits(services, session, [found])
    outcomes = sorted(found.outcomes.items(), key=lambda item: _WORST_FIRST.index(item[1]))
    return pages.render(request, "job.html", live=live, job=found, outcomes=outcomes, ended=found.status in ENDED)


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
) -> Response:
    """Return the latest events of the cluster or of a node, newest first."""
    node = node.strip()
    bounds = services.live_settings.current.retention.timeline_bounds
    with services.store.read() as session:
        wanted = events.TimelineFilter(nodes=nodes.spellings(session, node) if node else None)
        found = events.timeline(session, bounds, wanted, limit=limit + 1)
    more = f"?{urlencode({'node': node, 'limit': min(10_000, limit * 10)})}" if len(found) > limit < 10_000 else ""
    return pages.render(request, "timeline.html", events=found[-limit:][::-1], node=node, more=more)
