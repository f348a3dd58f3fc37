"""Routes of the requester's identity, and of tokens: listed and revoked here, created on the service's host only."""

from typing import Annotated

from fastapi import Path, Request, Response

from clusterm import schemas
from clusterm.access import token_management
from clusterm.enums import TokenRole
from clusterm.routes.auth import principal_of
from clusterm.routes.dependencies import (
    By,
    Cursor,
    Limit,
    Router,
    ServicesDep,
    json_response,
    parse_cursor,
    problem_responses,
)
from clusterm.store import tokens

routes = Router("access")

TokenName = Annotated[str, Path(description="Name of the token.", max_length=200, examples=["ann"])]


@routes.get("/info/me", response_model=schemas.Me, responses=problem_responses(), summary="Who am I?")
def get_me(request: Request, services: ServicesDep, by: By) -> Response:
    """Return the name, role and expiry of the token of this request."""
    principal = principal_of(request)
    if principal is None:
        return json_response(schemas.Me(name=by, role=TokenRole.ADMIN, expires_at=None))
    with services.store.read() as session:
        token = tokens.by_id(session, principal.token_id)
    expires_at = token.expires_at if token else None
    return json_response(schemas.Me(name=principal.name, role=principal.role, expires_at=expires_at))


@routes.get(
    "/tokens",
    response_model=schemas.Page[schemas.Token],
    responses=problem_responses(400, 422),
    role=TokenRole.ADMIN,
    summary="List tokens",
)
def list_tokens(services: ServicesDep, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Return tokens without their secrets, the oldest first, also expired and revoked ones."""
    after = parse_cursor(cursor) or 0
    found = token_management.list_tokens(services.store)
    items = [schemas.Token.model_validate(token, from_attributes=True) for token in found[after : after + limit]]
    more = after + limit < len(found)
    return json_response(schemas.Page(items=items, next=str(after + limit) if more else None))


@routes.post(
    "/tokens/{name}/revoke",
    response_model=schemas.Token,
    responses=problem_responses(404, 422),
    role=TokenRole.ADMIN,
    summary="Revoke a token",
)
def revoke_token(services: ServicesDep, by: By, name: TokenName) -> Response:
    """Reject a token from now on; open log streams and sessions of the dashboard end within seconds.

    Tokens are created on the service's host only, so that no stolen token can create another one.
    """
    revoked = token_management.revoke(services.store, name, by=by)
    return json_response(schemas.Token.model_validate(revoked, from_attributes=True))
