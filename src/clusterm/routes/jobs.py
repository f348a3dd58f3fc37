"""Routes of jobs and the timeline."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from clusterm import schemas
from clusterm.enums import EventKind, JobStatus
from clusterm.executor.emergency_stop import stop_without_store
from clusterm.jobs import admission, queue, stop
from clusterm.jobs.plan import preview
from clusterm.logs.json_array import encode_log
from clusterm.routes import event_formats
from clusterm.routes.dependencies import (
    AfterEvent,
    Brief,
    Cursor,
    JobLabel,
    Limit,
    RequesterDep,
    Router,
    Services,
    ServicesDep,
    Since,
    Until,
    WithTotal,
    json_response,
    parse_cursor,
    problem_responses,
)
from clusterm.schemas.base import ActionName
from clusterm.store import events, job_views, manifests, nodes
from clusterm.store import jobs as job_queries
from clusterm.store.errors import StoreUnavailable
from clusterm.store.session import Session

routes = Router("jobs")


@routes.get(
    "/info/job/{job}", response_model=schemas.Job, responses=problem_responses(400, 404, 422), summary="Show a job"
)
def get_job(
    services: ServicesDep,
    job: JobLabel,
    *,
    with_logs: Annotated[bool, Query(alias="logs", description="With its log.")] = True,
) -> Response:
    """Return one job: its status, why it failed, its steps, and its log."""
    with services.store.read() as session:
        row = job_queries.resolve(session, job)
        found, job_id, lines = job_views.to_wire(session, row), row.id, row.lines
        if found.provenance and (manifest := manifests.load(session, row.manifest)):
            found.provenance.collections = dict(manifest.collections)
        explain_waits(services, session, [found])
    if not with_logs:
        return json_response(found)
    members = found.model_dump_json(exclude={"logs"}).encode()
    log = encode_log(services.store, job_id, lines)
    return StreamingResponse(chain([members[:-1] + b',"logs":'], log, [b"}"]), media_type="application/json")


@routes.get(
    "/info/jobs", response_model=schemas.Page[schemas.Job], responses=problem_responses(400, 422), summary="List jobs"
)
def list_jobs(
    services: ServicesDep,
    status: Annotated[JobStatus | None, Query(description="Only jobs with this status.")] = None,
    action: Annotated[ActionName | None, Query(description="Only jobs with this action.")] = None,
    node: Annotated[str | None, Query(description="Only jobs on this node, or discover jobs on this address.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 30,
    cursor: Cursor = None,
    *,
    brief: Annotated[
        bool,
        Query(description="Without what grows with the nodes: `nodes`, `outcomes`, `recap` and `failures` are empty."),
    ] = False,
    with_total: WithTotal = False,
) -> Response:
    """Return jobs without their logs, newest first."""
    before = parse_cursor(cursor)
    with services.store.read() as session:
        wanted: job_queries.JobFilter = {"status": status, "action": action, "since": since, "until": until}
        wanted["nodes"] = None if node is None else nodes.spellings(session, node)
        rows = job_queries.history(session, limit=limit + 1, before=before, **wanted)
        items = [job_views.to_wire(session, row, brief=brief) for row in rows[:limit]]
        explain_waits(services, session, items)
        total = job_queries.count(session, **wanted) if with_total else None
    following = str(items[-1].id) if len(rows) > limit else None
    return json_response(schemas.Page(items=items, next=following, total=total))


@routes.get(
    "/info/jobs/timeline",
    response_model=schemas.Page[schemas.Event],
    responses={**event_formats.EVENTS, **problem_responses(400, 422)},
    summary="Show what happened in the cluster",
)
def list_timeline(
    request: Request,
    services: ServicesDep,
    *,
    accept: event_formats.Accept = "",
    form: event_formats.Form = None,
    limit: Annotated[int, Query(ge=1, le=1_000_000, description="The most to return: the latest ones.")] = 30,
    kind: Annotated[
        list[EventKind] | None, Query(description="What the events are about; repeatable. Default: `nodes`.")
    ] = None,
    node: Annotated[str | None, Query(description="Only this node's: name or management address.")] = None,
    job: Annotated[int | None, Query(ge=1, le=2**62, description="Only of this job.")] = None,
    by: Annotated[str | None, Query(description="Only of this requester.", examples=["ann"])] = None,
    failed: Annotated[bool, Query(description="Only failures.")] = False,
    since: Since = None,
    until: Until = None,
    cursor: Cursor = None,
    after: AfterEvent = None,
) -> Response:
    """Return the latest events of the whole cluster, oldest first. Start here to see what happened.

    The events of kind `nodes` are what happened to nodes, `jobs` what happened to jobs from their acceptance to their
    end, and `admin` starts and stops of the service and changes of its settings, globals and tokens. `next` leads to
    older events. To follow the timeline, repeat the request with `after` set to the id of the last event that you have.
    """
    bounds = services.live_settings.current.retention.timeline_bounds
    before = parse_cursor(cursor)
    with services.store.read() as session:
        wanted = events.TimelineFilter(
            kinds=frozenset(kind or (EventKind.NODES,)),
            nodes=None if node is None else nodes.spellings(session, node),
            job=job,
            by=by,
            failed=failed,
            since=since,
            until=until,
        )
        found = events.timeline(session, bounds, wanted, limit=limit + 1, before=before, after=after)
    return event_formats.events_response(request, event_formats.page(found, limit, after), accept, form)


@routes.post(
    "/job/{job}/cancel",
    response_model=schemas.Job,
    responses=problem_responses(400, 404, 409, 410, 413, 415, 422),
    summary="Cancel a job",
)
def cancel_job(
    services: ServicesDep, requester: RequesterDep, job: JobLabel, body: schemas.CancelRequest | None = None
) -> Response:
    """Stop a job: a queued job ends at once, a running job as soon as ansible has stopped.

    ansible gets SIGINT, after a grace period SIGTERM, and after another one SIGKILL. After a configure playbook that
    was stopped, the cleanup playbook runs unless `cleanup` is false; cancel again with `cleanup` false to stop it, too.
    If the database cannot be written, as on a full disk, a running job is stopped all the same; the request is recorded
    when the database can be written again.
    """
    now = datetime.now(UTC)
    reason = f"cancelled by {requester.name} at {schemas.format_time(now)}"
    cleanup = body is None or body.cleanup
    try:
        stopped = stop.request_stop(
            services.store, job, JobStatus.CANCELLED, reason, requester=requester, cleanup=cleanup
        )
    except StoreUnavailable:
        jobs_dir = services.live_settings.current.jobs_dir
        found = stop_without_store(
            services.store, jobs_dir, job, reason=reason, by=requester.name, at=now, cleanup=cleanup
        )
        if found is None:
            raise
        stopped = found
    return json_response(stopped)


@routes.post(
    "/job/{job}/retry",
    response_model=schemas.Job,
    responses=problem_responses(400, 404, 409, 410, 413, 415, 422),
    summary="Retry a job",
)
def retry_job(
    services: ServicesDep, requester: RequesterDep, job: JobLabel, body: schemas.RetryRequest | None = None
) -> Response:
    """Start a job that brings nodes where an ended job should have brought them, with the same action and vars.

    The nodes may have the status in which the failure of the action leaves them: an update that failed is retried on
    nodes that it took out of the cluster. Nodes that a commission has brought into the cluster are left out.
    """
    body = body or schemas.RetryRequest()
    settings = services.live_settings.current
    begun = admission.retry(services.store, settings, job, requester, body)
    services.supervisor.wake()
    return json_response(begun)


@routes.post(
    "/plan/job/{job}/retry",
    response_model=schemas.Plan,
    responses=problem_responses(400, 404, 409, 413, 415, 422),
    summary="Plan the retry of a job",
)
def plan_retry(
    services: ServicesDep, job: JobLabel, body: schemas.RetryRequest | None = None, *, brief: Brief = False
) -> Response:
    """Return what the retry of a job would do now, and why it would be rejected. Nothing changes."""
    body = body or schemas.RetryRequest()
    settings = services.live_settings.current
    with services.store.read() as session:
        request = admission.retry_request(session, settings, job_queries.resolve(session, job), body)
        return json_response(preview(session, settings, request, queue=body.queue, brief=brief))


def explain_waits(services: Services, session: Session, jobs: Sequence[schemas.Job]) -> None:
    """Add to queued jobs why they wait."""
    if any(job.status is JobStatus.QUEUED for job in jobs):
        max_active = services.live_settings.current.manager.max_active_jobs
        waits = {waiting.job.id: waiting.wait for waiting in queue.waits(session, max_active)}
        for job in jobs:
            job.wait = waits.get(job.id)
