"""Routes of a job's tasks, and of the differences between two jobs."""

from typing import Annotated

from fastapi import Path, Query, Response

from clusterm import schemas
from clusterm.enums import TaskStatus
from clusterm.routes.dependencies import (
    Cursor,
    JobLabel,
    Limit,
    Router,
    ServicesDep,
    json_response,
    parse_cursor,
    problem_responses,
)
from clusterm.store import cause_diff, job_diff, job_grid, nodes, task_results
from clusterm.store import jobs as job_queries

routes = Router("jobs")


@routes.get(
    "/info/job/{job}/tasks",
    response_model=schemas.Page[schemas.Task],
    responses=problem_responses(400, 404, 422),
    summary="Show the tasks of a job",
)
def list_job_tasks(
    services: ServicesDep,
    job: JobLabel,
    node: Annotated[str | None, Query(description="Only results of this node: name or address.")] = None,
    status: Annotated[TaskStatus | None, Query(description="Only results with this status.")] = None,
    task: Annotated[str | None, Query(description="Only tasks whose name contains this text.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Return the tasks that ansible ran, in order, each with its times and one result per node.

    A page ends before `limit` tasks if their results are many: follow `next`.
    """
    after = parse_cursor(cursor) or 0
    with services.store.read() as session:
        row = job_queries.resolve(session, job)
        named = None if node is None else nodes.spellings(session, node)
        items, more = task_results.tasks(
            session, row.id, limit=limit, after=after, nodes=named, status=status, task=task
        )
    return json_response(schemas.Page(items=items, next=str(items[-1].number) if more else None))


@routes.get(
    "/info/job/{job}/grid",
    response_model=schemas.JobGrid,
    responses=problem_responses(400, 404, 422),
    summary="Show the results of a job as a grid",
)
def get_job_grid(
    services: ServicesDep,
    job: JobLabel,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Maximum number of nodes.")] = 1000,
    cursor: Cursor = None,
) -> Response:
    """Return the result of each task on each node as a character, nodes that failed first.

    That of 1000 tasks on 1000 nodes is a megabyte, of which gzip leaves a tenth or less.
    """
    skip = parse_cursor(cursor) or 0
    with services.store.read() as session:
        return json_response(job_grid.grid(session, job_queries.resolve(session, job), limit=limit, skip=skip))


@routes.get(
    "/info/job/{job}/diff/{later}",
    response_model=schemas.JobDiff,
    responses=problem_responses(400, 404),
    summary="Compare two jobs",
)
def compare_jobs(
    services: ServicesDep,
    job: Annotated[
        str,
        Path(
            description="The earlier job: `good` (the last one before the later job that ended Complete, with the same "
            "action), `active`, `last` or an id.",
            examples=["good"],
        ),
    ],
    later: Annotated[str, Path(description="The later job: `active`, `last`, `good` or an id.", examples=["last"])],
) -> Response:
    """Return the differences of the later job: tasks that newly fail, newly change something, or take much longer.

    And what may have caused them: changed playbooks, vars, and versions of ansible and collections.
    """
    with services.store.read() as session:
        after = job_queries.resolve(session, later)
        before = job_queries.resolve(session, job, before=after)
        diff = job_diff.compare(session, before.id, after.id)
        causes = cause_diff.compare(session, before, after, services.live_settings.current.cipher)
        return json_response(diff.model_copy(update=causes))
