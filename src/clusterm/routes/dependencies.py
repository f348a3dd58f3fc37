"""What routes share: the parts of the running service, and how answers are written."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final, TypeVar

import orjson
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import AfterValidator, AwareDatetime, BaseModel

from clusterm.access.authenticator import Authenticator
from clusterm.ansible.check import AnsibleCheck
from clusterm.background.supervisor import Supervisor
from clusterm.common.background_task import BackgroundTask
from clusterm.enums import TokenRole
from clusterm.errors import BadRequest, quote
from clusterm.jobs.requests import Requester
from clusterm.live_settings import LiveSettings
from clusterm.logs.follower import LogFollower
from clusterm.monitoring.monitors import Monitors
from clusterm.notifications.sender import NotificationSender
from clusterm.observability.metrics import Metrics
from clusterm.routes.auth import authenticate, principal_of, security, sender_of
from clusterm.schemas import Problem
from clusterm.store.engine import Store

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Services:
    """The parts of the running service."""

    store: Store
    live_settings: LiveSettings
    supervisor: Supervisor
    monitors: Monitors
    notification_sender: NotificationSender
    follower: LogFollower
    metrics: Metrics
    authenticator: Authenticator
    tasks: tuple[BackgroundTask, ...]
    ansible_check: AnsibleCheck = field(default_factory=AnsibleCheck)
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When it was started."""


def _service(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
ServicesDep = Annotated[Services, Depends(_service)]
JobLabel = Annotated[
    str, Path(description="`active` (running now), `last` (the one that ended last) or an id.", examples=["last"])
]
NodeName = Annotated[str, Path(description="Name or management address.", examples=["node1-4c4c4544"])]
Limit = Annotated[int, Query(ge=1, le=1000, description="The most to return.")]
Cursor = Annotated[str | None, Query(description="`next` of the page before.")]
Since = Annotated[Moment | None, Query(description="Only what is as new as this (RFC 3339).")]
AfterEvent = Annotated[
    int | None,
    Query(ge=0, le=2**62, description="The first ones after the event with this id, in place of the latest ones."),
]
Until = Annotated[Moment | None, Query(description="Only what is older than this (RFC 3339).")]


async def _by(request: Request) -> str:
    """Tell who sends a request: the name of its token, or its address where none is asked for."""
    principal = principal_of(request)
    return principal.name if principal else sender_of(request)


By = Annotated[str, Depends(_by)]


async def _requester(
    request: Request,
    by: By,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            description="Any text of your own. For a day the same request with the same key begins nothing new, but "
            "answers with the first job; another request with that key is refused (422).",
        ),
    ] = None,
) -> Requester:
    """Tell who sends a request; its digest covers method, path and body."""
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + await request.body()).hexdigest()
    return Requester(name=by, key=key, digest=digest)


RequesterDep = Annotated[Requester, Depends(_requester)]

PROBLEMS: Final[dict[int, str]] = {
    400: "The request makes no sense; `detail` says why.",
    401: "There is no token, or it is not good; `detail` says which.",
    403: "The token's role is not enough.",
    404: "There is no such thing.",
    409: "Not while the cluster is as it is; `detail` says why.",
    413: "The body is too large.",
    415: "The body is not announced as JSON.",
    422: "A value is missing or not valid; `detail` says which.",
    429: "The token asks too often, or has too many streams open; `Retry-After` says when to try again.",
    431: "The address and the headers are too large.",
    503: "Not now; `Retry-After` says when to try again.",
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the error answers of a route."""
    return {
        status: {"description": PROBLEMS[status], "content": {PROBLEM_TYPE: {"schema": _PROBLEM_SCHEMA}}}
        for status in (*statuses, 503)
    }


PROBLEM_TYPE: Final = "application/problem+json"
_PROBLEM_SCHEMA: Final = {"$ref": f"#/components/schemas/{Problem.__name__}"}


def json_response(model: BaseModel) -> Response:
    """Write an answer. It was made from valid rows, so it is not validated once more."""
    return Response(model.model_dump_json(), media_type="application/json")


def value_response(value: Any) -> Response:
    """Write an answer that is plain JSON."""
    return Response(orjson.dumps(value), media_type="application/json")


def parse_cursor(cursor: str | None) -> int | None:
    """Return the id that a page starts before.

    Raises:
        BadRequest: no page of ours has such a cursor.
    """
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise BadRequest(f'{quote(cursor)} is no cursor: pass the "next" of the page before')
    return int(cursor)


class _StrictRequest(Request):
    """Reads JSON as RFC 8259 has it: UTF-8, no NaN, no lone surrogates, no bottomless nesting."""

    async def json(self) -> Any:
        return orjson.loads(await self.body())


class AuthenticatedRoute(APIRoute):
    """A route that enforces and documents the role that it needs.

    Args:
        path: as for APIRoute.
        endpoint: as for APIRoute.
        role: the role that a request needs; None for a public route.
        options: further arguments of APIRoute.
    """

    def __init__(self, path: str, endpoint: Any, *, role: TokenRole | None, **options: Any) -> None:
        self.role = role
        super().__init__(path, endpoint, **options | {"openapi_extra": security(role)})

    def get_route_handler(self) -> Any:
        """Authenticate and authorize a request before its body is read."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            authenticator = _service(request).authenticator
            if self.role is not None and authenticator.is_required:
                await authenticate(authenticator, request, self.role)
            response: Response = await handle(_StrictRequest(request.scope, request.receive))
            return response

        return strictly


class Router(APIRouter):
    """A router whose routes declare a role. A route that is added otherwise has no role, and fails at import.

    Args:
        tag: tag of its routes in the OpenAPI document.
    """

    def __init__(self, tag: str) -> None:
        super().__init__(tags=[tag], route_class=AuthenticatedRoute)

    def get(self, path: str, *, role: TokenRole | None = TokenRole.VIEWER, **options: Any) -> Callable[[T], T]:
        """Add a route that reads. Without a role it needs a viewer."""
        return self._add("GET", path, role, options)

    def post(self, path: str, *, role: TokenRole | None = TokenRole.OPERATOR, **options: Any) -> Callable[[T], T]:
        """Add a route that changes something. Without a role it needs an operator."""
        return self._add("POST", path, role, options)

    def _add(self, method: str, path: str, role: TokenRole | None, options: dict[str, Any]) -> Callable[[T], T]:
        def add(endpoint: T) -> T:
            route: Any = partial(AuthenticatedRoute, role=role)
            self.add_api_route(path, endpoint, methods=[method], route_class_override=route, **options)
            return endpoint

        return add
