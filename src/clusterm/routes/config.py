"""Globals, configuration, and whether new jobs are taken."""

import logging

from fastapi import Response
from pydantic import BaseModel

from clusterm import schemas
from clusterm.enums import TokenRole
from clusterm.errors import NotReady, SecretsUnavailable
from clusterm.jobs import drain as job_drain
from clusterm.routes.dependencies import By, Router, ServicesDep, json_response, problem_responses, value_response
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

routes = Router("settings")


@routes.get("/info/globals", response_model=schemas.Globals, responses=problem_responses(), summary="Show the globals")
def get_globals(services: ServicesDep) -> Response:
    """Return the extra vars that every job gets, secrets redacted."""
    with services.store.read() as session:
        return json_response(schemas.Globals(extra_vars=runtime_values.get(session, runtime_values.GLOBALS)))


@routes.post(
    "/globals",
    response_model=schemas.Globals,
    responses=problem_responses(400, 413, 415, 422),
    summary="Set the globals",
)
def set_globals(services: ServicesDep, by: By, body: schemas.GlobalsRequest) -> Response:
    """Replace the extra vars that every job gets. A value sent back masked, as it is shown, stays what it is."""
    cipher = services.live_settings.current.cipher
    with services.store.write() as session:
        stored = runtime_values.get_encrypted(session, runtime_values.GLOBALS)
        try:
            masked, encrypted = cipher.encrypt(cipher.restore(body.extra_vars, stored, "the globals"))
        except SecretsUnavailable as lost:
            raise NotReady(str(lost)) from None
        runtime_values.put(session, runtime_values.GLOBALS, masked, encrypted)
    log.info("the globals were set by %s: %s", by, ", ".join(sorted(masked)) or "none")
    return json_response(schemas.Globals(extra_vars=masked))


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
def get_config(services: ServicesDep) -> Response:
    """Return the configuration of the running service, secrets redacted."""
    return value_response(services.live_settings.shown())


@routes.post(
    "/config",
    response_model=Config,
    responses=problem_responses(400, 413, 415, 422),
    role=TokenRole.ADMIN,
    summary="Change the configuration",
)
def set_config(services: ServicesDep, by: By, body: schemas.ConfigRequest) -> Response:
    """Change the `ansible` section, for jobs that begin from now on. What is not named stays as it is.

    The change is kept across restarts, until the section changes in the configuration file.
    """
    services.live_settings.change(body.config, by)
    return value_response(services.live_settings.shown())


@routes.get("/info/drain", response_model=schemas.Drain, responses=problem_responses(), summary="Are new jobs taken?")
def get_drain(services: ServicesDep) -> Response:
    """Return whether new jobs are refused, and what still runs."""
    with services.store.read() as session:
        running = [job.id for job in job_queries.running(session)]
        return json_response(
            schemas.Drain(drained=bool(runtime_values.get(session, runtime_values.DRAIN)), running=running)
        )


@routes.post(
    "/manager/drain",
    response_model=schemas.Drain,
    responses=problem_responses(),
    role=TokenRole.ADMIN,
    summary="Take no new jobs",
)
def drain(services: ServicesDep, by: By) -> Response:
    """Refuse new jobs with 503 and hold queued ones back, also after a restart. What runs goes on."""
    log.info("drained by %s", by)
    return json_response(job_drain.drain(services.store, drained=True))


@routes.post(
    "/manager/undrain",
    response_model=schemas.Drain,
    responses=problem_responses(),
    role=TokenRole.ADMIN,
    summary="Take new jobs again",
)
def undrain(services: ServicesDep, by: By) -> Response:
    """End a drain."""
    log.info("drain ended by %s", by)
    answered = json_response(job_drain.drain(services.store, drained=False))
    services.supervisor.wake()
    return answered
