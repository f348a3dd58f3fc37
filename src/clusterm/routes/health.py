"""Whether the service is alive, and whether it can do its work."""

import os

from fastapi import Response
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from clusterm.errors import NotReady
from clusterm.executor.plan import find_executable
from clusterm.executor.versions import versions
from clusterm.routes.access import OPEN
from clusterm.routes.service import ServiceDep, answer, problems, router
from clusterm.schemas import Health, Versions

routes = router("health")


@routes.get("/healthz", response_model=Health, openapi_extra=OPEN, summary="Is the service alive?")
def get_health() -> Response:
    """Answer 200 as long as the service answers at all."""
    return answer(Health())


@routes.get(
    "/readyz",
    response_model=Health,
    responses=problems(),
    openapi_extra=OPEN,
    summary="Can the service do its work?",
)
def get_readiness(service: ServiceDep) -> Response:
    """Answer 200 if jobs can run and be kept, and say what else is wrong, as a Serf agent that cannot be reached."""
    settings = service.configuration.current
    found = []
    try:
        with service.store.read() as session:
            session.execute(text("SELECT 1 FROM settings"))
    except DBAPIError as error:
        found.append(f"the store cannot be read: {error.orig}")
    if not os.access(settings.manager.state_dir, os.W_OK):
        found.append(f"the state directory {settings.manager.state_dir} is not writable")
    if find_executable(settings.ansible.executable) is None:
        found.append(f"{settings.ansible.executable} was not found")
    if found:
        raise NotReady("; ".join(found))
    return answer(Health(degraded=service.monitors.problems()))


@routes.get("/info/version", response_model=Versions, summary="Which versions are at work?")
def get_versions(service: ServiceDep) -> Response:
    """Return the versions of clusterm, of the ansible that it runs, and of what it runs on."""
    return answer(versions(service.configuration.current.ansible.executable))
