"""Shared by the routes: the parts of the service, parameters, responses and the route class."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final, TypeVar

import orjson
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, BeforeValidator
from pydantic_core import to_json

from clusterm.access.authenticator import Authenticator
from clusterm.access.web_sessions import WebSessions
from clusterm.ansible.check import AnsibleCheck
from clusterm.background.supervisor import Supervisor
from clusterm.common.background_task import BackgroundTask
from clusterm.common.trace_context import parse_traceparent
from clusterm.enums import TokenRole
from clusterm.errors import BadRequest, UnknownParameter, quote
from clusterm.jobs.requests import Requester
from clusterm.live_settings import LiveSettings
from clusterm.logs.follower import LogFollower
from clusterm.monitoring.monitors import Monitors
from clusterm.notifications.sender import NotificationSender
from clusterm.observability import health
from clusterm.observability.metrics import Metrics
from clusterm.problem_codes import ProblemCode
from clusterm.routes.auth import authenticate, principal_of, security, sender_of
from clusterm.routes.compression import compress
from clusterm.schemas import HealthCheck, Problem
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
    web_sessions: WebSessions
    tasks: tuple[BackgroundTask, ...]
    certificate_check: Callable[[], HealthCheck | None]
    """Checks the certificates of TLS; returns None without TLS."""
    ansible_check: AnsibleCheck = field(default_factory=AnsibleCheck)
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    """Time of the start."""

    def check_health(self) -> dict[str, HealthCheck]:
        """Run the health checks, and return their results by name."""
        settings = self.live_settings.current
        return health.check(
            self.store,
            settings,
            ansible=self.ansible_check.problem(settings.ansible.executable),
            monitors=self.monitors.problems(),
            notifications=self.notification_sender.problems(),
            certificate=self.certificate_check(),
            tasks=[task.status for task in self.tasks],
        )


def _service(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _complete(value: Any) -> Any:
    """Restore the plus sign that a client did not encode in a query, and complete a date to its start in UTC."""
    if isinstance(value, str):
        value = re.sub(r"(:\d\d(?:\.\d+)?) (\d\d:?\d\d)$", r"\1+\2", value)
        if re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
            return f"{value}T00:00:00Z"
    return value


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("give the time with its zone, as 2026-11-22T07:31:02Z or 2026-11-22T09:31:02+02:00")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


Moment = Annotated[datetime, BeforeValidator(_complete), AfterValidator(_in_utc)]
ServicesDep = Annotated[Services, Depends(_service)]
JobLabel = Annotated[
    str,
    Path(
        description="`active` (running now), `last` (the one that ended last), `good` (the last one with the action of "
        "`last` that ended Complete) or an id.",
        examples=["last"],
    ),
]
NodeName = Annotated[str, Path(description="Name, or address with or without a port.", examples=["node1-4c4c4544"])]
Limit = Annotated[int, Query(ge=1, le=1000, description="Maximum number of items.")]
Cursor = Annotated[str | None, Query(description="`next` of the previous page.")]
Since = Annotated[Moment | None, Query(description="Only items at or after this time (RFC 3339), or date in UTC.")]
AfterEvent = Annotated[
    int | None,
    Query(ge=0, le=2**62, description="The first events after that with this id, instead of the latest events."),
]
Brief = Annotated[
    bool, Query(description="Without `inventory` and the objects in `nodes`; the names are in `batches`.")
]
WithTotal = Annotated[bool, Query(alias="total", description="Count the items on all pages.")]
Until = Annotated[Moment | None, Query(description="Only items before this time (RFC 3339), or date in UTC.")]


async def _by(request: Request) -> str:
    """Return the name of the requester: of the token, or without authentication the client's address."""
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
            description="Any text that the client chooses. For a day, and for the latest 1000 jobs, a repetition of "
            "the request with the same key starts no job: the response is the first job, or 410 if that was deleted. "
            "Another request with the same key is rejected (422). Each token has its own keys.",
        ),
    ] = None,
    traceparent: Annotated[  # noqa: ARG001 -- declared for the documentation; a repeated header counts, too
        str | None,
        Header(
            description="Context of the caller's span (W3C Trace Context), the parent of the trace of a job that the "
            "request starts. A value that is not valid is ignored.",
            examples=["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
        ),
    ] = None,
) -> Requester:
    """Return the requester; the digest covers method, path and body."""
    path = request.scope["path"].removeprefix(request.scope["root_path"])
    digest = hashlib.sha256(f"{request.method} {path}\n".encode() + await request.body()).hexdigest()
    principal = principal_of(request)
    scoped = f"{principal.name}:{key}" if key is not None and principal is not None else key
    parent = parse_traceparent(request.headers.getlist("traceparent"))
    role = principal.role if principal else None
    return Requester(name=by, role=role, key=scoped, digest=digest, parent=parent)


RequesterDep = Annotated[Requester, Depends(_requester)]

PROBLEMS: Final[dict[int, str]] = {
    400: "The request is not valid; `detail` gives the reason.",
    401: "The token is missing or not valid; `detail` gives the reason.",
    403: "The token's role does not suffice.",
    404: "The named object does not exist.",
    409: "The state of the cluster forbids this; `detail` gives the reason.",
    410: "An earlier request with this `Idempotency-Key` was executed, and its job was deleted since.",
    413: "The body is too large.",
    415: "The Content-Type is not JSON.",
    422: "A value is missing or not valid; `detail` names it.",
    428: "The number of nodes has to be confirmed; `detail` gives it.",
    429: "The token exceeds its rate limit or its number of open streams; `Retry-After` gives the seconds to wait.",
    431: "The URL and the headers are too large.",
    503: "The service cannot do this at present; `Retry-After` gives the seconds to wait.",
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the error responses of a route."""
    return {
        status: {"description": PROBLEMS[status], "content": {PROBLEM_TYPE: {"schema": _PROBLEM_SCHEMA}}}
        for status in (*statuses, 503)
    }


PROBLEM_TYPE: Final = "application/problem+json"
_PROBLEM_SCHEMA: Final = {"$ref": f"#/components/schemas/{Problem.__name__}"}


def json_response(model: BaseModel) -> Response:
    """Return a response with a model. The model was built from valid rows, so it is not validated again."""
    return Response(model.model_dump_json(), media_type="application/json")


def value_response(value: Any) -> Response:
    """Return a response with plain JSON."""
    return Response(encode_json(value), media_type="application/json")


def encode_json(value: Any) -> bytes:
    """Return a JSON value as text, also with integers of more than 64 bits."""
    try:
        return orjson.dumps(value)
    except TypeError:  # such an integer
        return to_json(value)


_LONG_INTEGER: Final = re.compile(rb"[0-9]{19}")
"""Part of every integer of more than 63 bits, for which orjson may return a rounded float."""


def decode_json(data: bytes) -> Any:
    """Return a JSON value, read strictly by RFC 8259: UTF-8, no NaN, no lone surrogates, limited nesting.

    Integers of any size are exact.

    Raises:
        json.JSONDecodeError: the text is not valid, or a number is larger than any float.
    """
    value = orjson.loads(data)
    if not _LONG_INTEGER.search(data):
        return value
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise json.JSONDecodeError(str(error), "", 0) from None


def parse_cursor(cursor: str | None) -> int | None:
    """Return the id that a page starts before; None for the first page.

    Raises:
        BadRequest: the cursor is not one of a page.
    """
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise BadRequest(
            f'{quote(cursor)} is no cursor: pass the "next" of the page before', ProblemCode.INVALID_CURSOR
        )
    return int(cursor)


class _StrictRequest(Request):
    """Reads JSON strictly, with exact integers."""

    async def json(self) -> Any:
        return decode_json(await self.body())


def _query_parameters(dependant: Dependant) -> set[str]:
    """Return the names of a route's query parameters, with those of its dependencies."""
    return {each.alias for each in dependant.query_params}.union(*map(_query_parameters, dependant.dependencies))


def _check_parameters(request: Request, known: Sequence[str]) -> None:
    """Check that a request has no query parameters that its route would ignore.

    Raises:
        UnknownParameter: it has.
    """
    unknown = sorted(set(request.query_params) - set(known))
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        parameters = f"its parameters are {', '.join(known)}" if known else "it has no parameters"
        raise UnknownParameter(f"this route has no query parameter {quote(unknown[0])}{more}: {parameters}")


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
        """Authenticate and authorize a request before its body is read, and check the names of its parameters."""
        handle = super().get_route_handler()
        known = sorted(_query_parameters(self.dependant))

        async def strictly(request: Request) -> Response:
            authenticator = _service(request).authenticator
            if self.role is not None and authenticator.is_required:
                await authenticate(authenticator, request, self.role)
            if self.role is not None:  # load balancers may add any parameter to the address of a public route
                _check_parameters(request, known)
            response: Response = await handle(_StrictRequest(request.scope, request.receive))
            return await compress(request, response)

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
