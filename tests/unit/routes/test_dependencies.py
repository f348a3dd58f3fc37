"""The role of a route is declared once: it is documented and enforced."""

import pytest
from fastapi import FastAPI

from clusterm.enums import TokenRole
from clusterm.routes.dependencies import AuthenticatedRoute, Router


def endpoint() -> None:
    """Do nothing."""


def test_roles_are_documented_and_kept_for_enforcement() -> None:
    routes = Router("tag")
    routes.get("/read")(endpoint)
    routes.post("/change")(endpoint)
    routes.post("/administer", role=TokenRole.ADMIN)(endpoint)
    routes.get("/public", role=None)(endpoint)
    roles = {route.path: route.role for route in routes.routes if isinstance(route, AuthenticatedRoute)}
    assert roles == {
        "/read": TokenRole.VIEWER,
        "/change": TokenRole.OPERATOR,
        "/administer": TokenRole.ADMIN,
        "/public": None,
    }
    app = FastAPI()
    app.include_router(routes)
    documented = {path: next(iter(methods.values()))["security"] for path, methods in app.openapi()["paths"].items()}
    assert documented == {path: [{"token": [role]}] if role else [] for path, role in roles.items()}


def test_a_route_without_a_declared_role_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="role"):
        Router("tag").put("/change")(endpoint)
