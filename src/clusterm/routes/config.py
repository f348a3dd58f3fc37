"""Globals, configuration, and whether new jobs are taken."""

import logging

from fastapi import Response
from pydantic import BaseModel

from clusterm import schemas
from clusterm.enums import TokenRole
from clusterm.errors import NotReady, SecretsLost
from clusterm.jobs import drain as job_drain
from clusterm.routes.auth import needs
from clusterm.routes.dependencies import By, ServiceDep, answer, answer_value, problems, router
from clusterm.settings import (
    AnsibleSettings,
    ManagerSettings,
    MonitorSettings,
    NotificationSettings,
    RetentionSettings,
    SerfSettings,
    StoreSettings,
)
from clusterm.store import jobs as job_queries
from clusterm.store import runtime_values

log = logging.getLogger(__name__)

routes = router("settings")


@routes.get("/info/globals", response_model=schemas.Globals, responses=problems(), summary="Show the globals")
def get_globals(service: ServiceDep) -> Response:
    """Return the extra vars that every job gets, secrets redacted."""
    with service.store.read() as session:
        return answer(schemas.Globals(extra_vars=runtime_values.get(session, runtime_values.GLOBALS)))


@routes.post(
    "/globals", response_model=schemas.Globals, responses=problems(400, 413, 415, 422), summary="Set the globals"
)
def set_globals(service: ServiceDep, by: By, body: schemas.GlobalsRequest) -> Response:
    """Replace the extra vars that every job gets. A value sent back masked, as it is shown, stays what it is."""
    seal = service.configuration.current.seal
    with service.store.write() as session:
        stored = runtime_values.get_sealed(session, runtime_values.GLOBALS)
        try:
            shown, sealed = seal.close(seal.restore(body.extra_vars, stored, "the globals"))
        except SecretsLost as lost:
            raise NotReady(str(lost)) from None
        runtime_values.put(session, runtime_values.GLOBALS, shown, sealed)
    log.info("the globals were set by %s: %s", by, ", ".join(sorted(shown)) or "none")
    return answer(schemas.Globals(extra_vars=shown))


class Config(BaseModel):
    """The configuration, as it goes over the wire."""

    manager: ManagerSettings
    store: StoreSettings
    ansible: AnsibleSettings
    serf: SerfSettings
    monitor: MonitorSettings
    retention: RetentionSettings
    notifications: NotificationSettings


@routes.get("/config", response_model=Config, summary="Show the configuration")
def get_config(service: ServiceDep) -> Response:
    """Return the configuration of the running service, secrets redacted."""
    return answer_value(service.configuration.shown())


@routes.post(
    "/config",
    response_model=Config,
    responses=problems(400, 413, 415, 422),
    openapi_extra=needs(TokenRole.ADMIN),
    summary="Change the configuration",
)
def set_config(service: ServiceDep, by: By, body: schemas.ConfigRequest) -> Response:
    """Change the `ansible` section, for jobs that begin from now on. What is not named stays as it is.

    The change is kept across restarts, until the section changes in the configuration file.
    """
    service.configuration.change(body.config, by)
    return answer_value(service.configuration.shown())


@routes.get("/info/drain", response_model=schemas.Drain, responses=problems(), summary="Are new jobs taken?")
def get_drain(service: ServiceDep) -> Response:
    """Return whether new jobs are refused, and what still runs."""
    with service.store.read() as session:
        running = [job.id for job in job_queries.running(session)]
        return answer(schemas.Drain(drained=bool(runtime_values.get(session, runtime_values.DRAIN)), running=running))


@routes.post(
    "/manager/drain",
    response_model=schemas.Drain,
    responses=problems(),
    openapi_extra=needs(TokenRole.ADMIN),
    summary="Take no new jobs",
)
def drain(service: ServiceDep, by: By) -> Response:
    """Refuse new jobs with 503 and hold queued ones back, also after a restart. What runs goes on."""
    log.info("drained by %s", by)
    return answer(job_drain.drain(service.store, drained=True))


@routes.post(
    "/manager/undrain",
    response_model=schemas.Drain,
    responses=problems(),
    openapi_extra=needs(TokenRole.ADMIN),
    summary="Take new jobs again",
)
def undrain(service: ServiceDep, by: By) -> Response:
    """End a drain."""
    log.info("drain ended by %s", by)
    answered = answer(job_drain.drain(service.store, drained=False))
    service.supervisor.wake()
    return answered
