"""Route of the links with which `clusterctl ui` opens the dashboard signed in."""

from datetime import UTC, datetime

from fastapi import Request, Response

from clusterm import schemas
from clusterm.access.web_sessions import LINK_LIFETIME
from clusterm.enums import TokenRole
from clusterm.routes.auth import principal_of
from clusterm.routes.dependencies import Router, ServicesDep, json_response

routes = Router("dashboard")


@routes.post(
    "/ui-links",
    response_model=schemas.UiLink,
    role=TokenRole.VIEWER,
    summary="Create a link to the dashboard",
)
def create_ui_link(request: Request, services: ServicesDep) -> Response:
    """Return a link that opens the dashboard once, signed in with the token of this request. `clusterctl ui` uses it.

    Without authentication, it is the address of the dashboard.
    """
    principal = principal_of(request)
    path = f"/ui/link/{services.web_sessions.create_link(principal)}" if principal else "/ui/"
    manager = services.live_settings.current.manager
    url = manager.public_url or str(request.base_url).rstrip("/")
    return json_response(schemas.UiLink(url=f"{url}{path}", path=path, valid_until=datetime.now(UTC) + LINK_LIFETIME))
