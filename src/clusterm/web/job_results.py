"""Pages of the results of a job: by node, by task, in comparison with the last good job; and data of the pictures."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from clusterm.errors import NotFound
from clusterm.problem_codes import ProblemCode
from clusterm.routes.dependencies import ServicesDep, json_response
from clusterm.routes.job_tasks import get_job_grid
from clusterm.store import cause_diff, job_diff, job_grid, job_views, node_states
from clusterm.store import jobs as job_queries
from clusterm.web import pages
from clusterm.web.page_routes import PageRouter, redirect

routes = PageRouter()
routes.add("GET", "/ui/jobs/{job}/grid", is_page=False)(get_job_grid)

_NODES: Final = 500
_TASKS: Final = 500
_CHANGES: Final = 500
_TEXT: Final = 1000
_MAX_ID: Final = 2**62
_MAX_HOURS: Final = 24 * 366


@routes.add("GET", "/ui/jobs/{job}/cell")
def get_cell(
    request: Request,
    services: ServicesDep,
    job: str,
    node: Annotated[str, Query(max_length=_TEXT)],
    task: Annotated[int, Query(ge=1, le=_MAX_ID)],
) -> Response:
    """Redirect to the lines of a task on a node."""
    with services.store.read() as session:
        job_id = job_queries.resolve(session, job).id
        line = job_grid.first_line(session, job_id, node, task)
    if line is None:
        raise NotFound(
            f"job {job_id} has no log line of this task on {node}", ProblemCode.JOB_NOT_FOUND, job=str(job_id)
        )
    return redirect(request, f"/ui/jobs/{job_id}/log?from={max(1, line - 20)}#L{line}")


@routes.add("GET", "/ui/jobs/{job}/nodes")
def get_nodes(
    request: Request, services: ServicesDep, job: str, skip: Annotated[int, Query(ge=0, le=_MAX_ID)] = 0
) -> Response:
    """Return the outcome of each node, in pages, the failed nodes first."""
    with services.store.read() as session:
        found = job_views.to_wire(session, job_queries.resolve(session, job))
    outcomes = job_views.worst_first(found)
    shown = outcomes[skip : skip + _NODES]
    more = f"?{urlencode({'skip': skip + _NODES})}" if len(outcomes) > skip + _NODES else ""
    return pages.render(request, "job_nodes.html", job=found, outcomes=shown, more=more, total=len(outcomes))


@routes.add("GET", "/ui/jobs/{job}/tasks")
def get_tasks(
    request: Request, services: ServicesDep, job: str, after: Annotated[int, Query(ge=0, le=_MAX_ID)] = 0
) -> Response:
    """Return the tasks with their durations, in pages."""
    with services.store.read() as session:
        row = job_queries.resolve(session, job)
        found = [task for task in job_grid.tasks(session, row.id) if task.number > after]
        job_id = row.id
    more = f"?{urlencode({'after': found[_TASKS - 1].number})}" if len(found) > _TASKS else ""
    return pages.render(request, "job_tasks.html", job=job_id, tasks=found[:_TASKS], more=more)


@routes.add("GET", "/ui/jobs/{job}/diff")
def get_diff(request: Request, services: ServicesDep, job: str) -> Response:
    """Return the differences of a job to the last one with the same action that ended Complete before it."""
    with services.store.read() as session:
        after = job_queries.resolve(session, job)
        before = job_queries.resolve(session, "good", before=after)
        diff = job_diff.compare(session, before.id, after.id)
        causes = cause_diff.compare(session, before, after, services.live_settings.current.cipher)
    return pages.render(request, "job_diff.html", diff=diff.model_copy(update=causes), most=_CHANGES)


@routes.add("GET", "/ui/timeline/states", is_page=False)
def get_states(
    services: ServicesDep,
    hours: Annotated[int, Query(ge=1, le=_MAX_HOURS)] = 24,
    q: Annotated[str, Query(max_length=_TEXT)] = "",
) -> Response:
    """Return when the nodes were in which status and state in the last hours."""
    until = datetime.now(UTC)
    with services.store.read() as session:
        return json_response(node_states.read(session, until - timedelta(hours=hours), until, q.strip()))
