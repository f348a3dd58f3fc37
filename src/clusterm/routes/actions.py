"""Routes of actions."""

from typing import Annotated

from fastapi import Path, Request, Response

from clusterm import schemas
from clusterm.jobs.action_views import describe
from clusterm.routes.auth import principal_of
from clusterm.routes.dependencies import Router, ServicesDep, json_response, problem_responses
from clusterm.schemas.base import ActionName
from clusterm.settings import definitions

routes = Router("nodes")


@routes.get("/info/actions", response_model=schemas.ActionList, responses=problem_responses(), summary="List actions")
def list_actions(request: Request, services: ServicesDep) -> Response:
    """Return all actions on nodes, the built-in ones first: what they do, their vars, and whether they are ready."""
    settings, principal = services.live_settings.current, principal_of(request)
    role = principal.role if principal else None
    found = [spec for spec in definitions(settings.actions).values() if spec.on_nodes]
    return json_response(schemas.ActionList(items=[describe(settings, spec, role) for spec in found]))


@routes.get(
    "/info/action/{action}",
    response_model=schemas.ActionInfo,
    responses=problem_responses(404, 422),
    summary="Show an action",
)
def get_action(
    request: Request,
    services: ServicesDep,
    action: Annotated[ActionName, Path(description="A built-in action on nodes, or one of the site.")],
) -> Response:
    """Return an action on nodes."""
    settings, principal = services.live_settings.current, principal_of(request)
    spec = settings.find_action(action)
    return json_response(describe(settings, spec, principal.role if principal else None))
