"""Routes of globals, settings and draining."""

from typing import Any, Final

from fastapi import Response
from pydantic import BaseModel, create_model

from clusterm import global_vars, schemas
from clusterm.enums import TokenRole
from clusterm.jobs import drain as job_drain
from clusterm.routes.dependencies import By, Router, ServicesDep, json_response, problem_responses, value_response
from clusterm.settings import Settings
from clusterm.store import jobs as job_queries
from clusterm.store import runtime_values

routes = Router("settings")


@routes.get("/info/globals", response_model=schemas.Globals, responses=problem_responses(), summary="Show the globals")
def get_globals(services: ServicesDep) -> Response:
    """Return the extra vars that every job gets, secrets redacted."""
    return json_response(schemas.Globals(extra_vars=global_vars.get(services.store)))


@routes.post(
    "/globals",
    response_model=schemas.Globals,
    responses=problem_responses(400, 413, 415, 422),
    summary="Set the globals",
)
def set_globals(services: ServicesDep, by: By, body: schemas.GlobalsRequest) -> Response:
    """Replace the extra vars that every job gets. A masked value that is sent back keeps its secret."""
    masked = global_vars.replace(services.store, services.live_settings.current, body.extra_vars, by)
    return json_response(schemas.Globals(extra_vars=masked))


def _config_model() -> type[BaseModel]:
    """Return the model of the settings on the wire: their sections, without their defaults."""
    sections: dict[str, Any] = {name: (field.annotation, ...) for name, field in Settings.model_fields.items()}
    return create_model("Config", __doc__="The configuration, as it goes over the wire.", **sections)


Config: Final = _config_model()


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
    """Change the `ansible` section, for jobs that begin from now on. Absent keys are not changed.

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
def drain_service(services: ServicesDep, by: By) -> Response:
    """Refuse new jobs with 503 and hold queued ones back, also after a restart. Running jobs continue."""
    return json_response(job_drain.drain(services.store, drained=True, by=by))


@routes.post(
    "/manager/undrain",
    response_model=schemas.Drain,
    responses=problem_responses(),
    role=TokenRole.ADMIN,
    summary="Take new jobs again",
)
def undrain_service(services: ServicesDep, by: By) -> Response:
    """End a drain."""
    answered = json_response(job_drain.drain(services.store, drained=False, by=by))
    services.supervisor.wake()
    return answered
