"""Routes of liveness, readiness, status and versions."""

import shutil
from contextlib import suppress
from importlib.metadata import version
from itertools import islice
from typing import Any, Final

import orjson
from fastapi import Request, Response

from clusterm.ansible.versions import versions
from clusterm.common import service_log
from clusterm.enums import JobStatus, TokenRole
from clusterm.jobs import queue
from clusterm.observability import health
from clusterm.problem_codes import ProblemCode
from clusterm.routes.auth import may_read
from clusterm.routes.dependencies import (
    PROBLEM_TYPE,
    Router,
    Services,
    ServicesDep,
    json_response,
    problem_responses,
)
from clusterm.schemas import (
    BackgroundTaskStatus,
    Health,
    NodeCount,
    NotificationCount,
    Problem,
    QueuedJob,
    Readiness,
    ServiceLog,
    ServiceStatus,
    Versions,
)
from clusterm.store import job_views, nodes, outbox, runtime_values
from clusterm.store import jobs as job_queries
from clusterm.store.errors import StoreError
from clusterm.store.session import Session

routes = Router("health")

_MAX_WAITING: Final = 20
"""Queued jobs in the status of the service."""

_UNNAMED_WEBHOOKS: Final = "webhooks cannot be notified; a viewer sees which in /info/status"


@routes.get(
    "/info/service-log",
    response_model=ServiceLog,
    responses=problem_responses(),
    role=TokenRole.OPERATOR,
    summary="Show the service's own log",
)
async def get_service_log() -> Response:
    """Return the latest lines of the service's own log since its start: up to 1000, and their tracebacks."""
    return json_response(ServiceLog(lines=service_log.recent_lines()))


@routes.get("/healthz", response_model=Health, role=None, summary="Is the service alive?")
async def get_health() -> Response:
    """Respond with 200 while the service is alive. It needs no thread, so it responds also while all are busy."""
    return json_response(Health())


@routes.get(
    "/readyz",
    response_model=Readiness,
    responses=problem_responses(),
    role=None,
    summary="Can the service do its work?",
)
def get_readiness(request: Request, services: ServicesDep) -> Response:
    """Respond with 200 if jobs can run and be stored, otherwise with a problem. Both have all `checks` by name.

    The token of a viewer is optional: without it, webhooks are not named.

    Warnings, such as a Serf agent that cannot be reached, do not affect readiness. The route may be polled every few
    seconds: ansible is run only every few minutes.
    """
    found = services.check_health()
    webhooks = found.get("notifications")
    if webhooks is not None and not webhooks.ok and not may_read(services.authenticator, request):
        found["notifications"] = webhooks.model_copy(update={"why": _UNNAMED_WEBHOOKS})
    if health.is_ready(found):
        return json_response(Readiness(degraded=health.reasons(found, needed=False), checks=found))
    code = ProblemCode.NOT_READY
    problem = Problem.of(code, "; ".join(health.reasons(found, needed=True)))
    shown = {name: check.model_dump() for name, check in found.items()}
    return Response(
        orjson.dumps({**problem.model_dump(), "checks": shown}), status_code=code.status, media_type=PROBLEM_TYPE
    )


@routes.get("/info/status", response_model=ServiceStatus, summary="How is the service, at a glance?")
def get_status(request: Request, services: ServicesDep) -> Response:
    """Return version, readiness, running jobs, last results, free space and background tasks.

    Members from the store are empty while the store cannot be read, which `checks` report.
    """
    return json_response(read_status(request, services))


def read_status(request: Request, services: Services) -> ServiceStatus:
    """Return the summary of the service's state."""
    manager, found = services.live_settings.current.manager, services.check_health()
    status = ServiceStatus(
        version=version("clusterm"),
        url=manager.public_url or str(request.base_url).rstrip("/"),
        since=services.since,
        ready=health.is_ready(found),
        checks=found,
        drained=False,
        running=[],
        queued=0,
        nodes=[],
        last_job=None,
        last_failure=None,
        store_bytes=0,
        free_bytes=shutil.disk_usage(manager.state_dir).free,
        notifications={},
        tasks=[BackgroundTaskStatus.model_validate(task.status, from_attributes=True) for task in services.tasks],
    )
    with suppress(StoreError):
        status = status.model_copy(update={"store_bytes": services.store.size()})
    with suppress(StoreError), services.store.read() as session:
        status = status.model_copy(update=_of_store(session, manager.max_active_jobs))
    return status


@routes.get("/info/version", response_model=Versions, summary="Which versions are in use?")
def get_versions(services: ServicesDep) -> Response:
    """Return the versions of clusterm, of the ansible that it runs, and of what it runs on."""
    return json_response(read_versions(services))


def read_versions(services: Services) -> Versions:
    """Return the versions that `GET /info/version` shows."""
    executable, store = services.live_settings.current.ansible.executable, services.store
    return versions(executable, sqlite=store.version, postgresql=store.server_version())


def _of_store(session: Session, max_active: int) -> dict[str, Any]:
    last, failure = job_queries.last(session), job_queries.last(session, JobStatus.ERRORED)
    return {
        "drained": bool(runtime_values.get(session, runtime_values.DRAIN)),
        "running": [job_views.summary(session, job) for job in job_queries.running(session)],
        "waiting": _waiting(session, max_active),
        "queued": job_queries.count_unended(session).get(JobStatus.QUEUED, 0),
        "nodes": [
            NodeCount(status=status, state=state, nodes=number)
            for (status, state), number in sorted(nodes.count(session).items())
        ],
        "last_job": last and job_views.summary(session, last),
        "last_failure": failure and job_views.summary(session, failure),
        "notifications": {name: NotificationCount(**count._asdict()) for name, count in outbox.counts(session).items()},
    }


def _waiting(session: Session, max_active: int) -> list[QueuedJob]:
    return [
        QueuedJob(id=each.job.id, desc=job_views.describe(each.job, each.names), wait=each.wait)
        for each in islice(queue.waits(session, max_active), _MAX_WAITING)
    ]
