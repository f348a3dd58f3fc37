"""The application: routes, error answers and limits around the parts of the service."""

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from itertools import chain
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from sqlalchemy.exc import DBAPIError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clusterm import journal
from clusterm.configuration import Configuration
from clusterm.errors import Drained, NotLetIn, RequestRefused
from clusterm.executor.supervisor import Supervisor
from clusterm.guard import Guard
from clusterm.metrics import CountRequests, Metrics
from clusterm.monitor.monitors import Monitors
from clusterm.notifier import Notifier
from clusterm.pruner import Pruner
from clusterm.routes import (
    access,
    docs,
    health,
    host_keys,
    jobs,
    logs,
    monitor,
    node_changes,
    nodes,
    settings,
    tasks,
)
from clusterm.routes import metrics as prometheus
from clusterm.routes.service import PROBLEM_TYPE, Service, problems
from clusterm.routes.tail import Tail
from clusterm.schemas import LogEnd, LogLine, Problem
from clusterm.settings import ManagerSettings, size
from clusterm.store.engine import Store

log = logging.getLogger(__name__)

_SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What keeps browsers from taking an answer for something else than data; the page at /docs has a policy of its own."""

_DESCRIPTION: Final = """Runs ansible jobs on the nodes of a cluster, and keeps what happened, to which node, in what
order, and why it failed. Start with the timeline: `GET /info/jobs/timeline`."""

_TAGS: Final = [
    {"name": "nodes", "description": "What nodes there are, what happened to them, and jobs on them."},
    {"name": "jobs", "description": "What runs and what ran, with logs, and the timeline of the cluster."},
    {"name": "monitoring", "description": "Where monitoring reports nodes."},
    {"name": "settings", "description": "Extra vars for every job, the configuration, and draining."},
    {"name": "health", "description": "For load balancers and container engines."},
]


def create_app(store: Store, configuration: Configuration, *, echo_job_logs: bool = False) -> FastAPI:
    """Put the service together.

    Args:
        store: a migrated store.
        configuration: the configuration.
        echo_job_logs: whether what ansible writes goes to the service's log, too.
    """
    supervisor = Supervisor(store, lambda: configuration.current, echo_job_logs=echo_job_logs)
    pruner = Pruner(store, lambda: configuration.current.retention)
    monitors = Monitors(store, lambda: configuration.current)
    notifier = Notifier(store, lambda: configuration.current)
    tail = Tail(store)
    metrics = Metrics(store, configuration.current.manager.state_dir)
    guard = Guard(store, lambda: configuration.current.manager)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        notifier.start()
        supervisor.start()
        pruner.start()
        monitors.start()
        guard.start()
        yield
        guard.stop()
        monitors.stop()
        pruner.stop()
        supervisor.stop()
        notifier.stop()

    app = FastAPIOffline(
        title="clusterm",
        version=version("clusterm"),
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = Service(store, configuration, supervisor, monitors, notifier, tail, metrics, guard)
    for part in (nodes, node_changes, host_keys, jobs, tasks, logs, monitor, settings, health, prometheus, docs):
        app.include_router(part.routes)
    app.add_exception_handler(RequestRefused, _answer_refusal)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(DBAPIError, _answer_store_error)
    app.add_exception_handler(Exception, _answer_defect)
    app.add_middleware(_SizeLimits, manager=configuration.current.manager)
    app.add_middleware(CountRequests, metrics=metrics)
    app.add_middleware(_SecurityHeaders)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI documents this way
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Describe the API, with what FastAPI cannot know: tokens, the shape of errors, and of the lines of a stream."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        schemas = document["components"]["schemas"]
        for model in (Problem, LogLine, LogEnd):
            schemas[model.__name__] = model.model_json_schema(
                mode="serialization", ref_template="#/components/schemas/{model}"
            )
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)  # answered as a problem, where it can happen
        for operation in (about for path in document["paths"].values() for about in path.values()):
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
            if operation["security"]:
                refusals = {
                    str(status): problem for status, problem in problems(401, 403, 429).items() if status != 503
                }
                operation["responses"] = dict(sorted((refusals | operation["responses"]).items()))
        document["components"]["securitySchemes"] = access.SCHEMES
    return app.openapi_schema or {}


def _problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return Response(problem.model_dump_json(), status_code=status, media_type=PROBLEM_TYPE, headers=headers)


def _refuse(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Answer that a request is refused, and say so in the log: of one that only reads, where details are wanted."""
    level = logging.DEBUG if request.method in {"GET", "HEAD"} else logging.INFO
    sender = access.sender_of(request)
    about = {"method": request.method, "path": request.url.path, "status": int(status), "sender": sender}
    said = (request.method, request.url.path, sender, status, detail)
    log.log(level, "%s %s from %s refused with %d: %s", *said, extra=journal.members(**about))
    return _problem(status, detail, headers)


def _answer_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)  # noqa: S101 -- for the type checker
    if isinstance(error, NotLetIn):
        guard: Guard = request.app.state.service.guard
        guard.tell_of(error, f"{request.method} {request.url.path}", access.sender_of(request))
        return _problem(error.status, str(error), error.headers)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Drained) else None
    return _refuse(request, error.status, str(error), headers)


def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return _refuse(request, error.status_code, str(error.detail), dict(error.headers or {}))


def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = error.errors()
    if any(item["type"] == "json_invalid" for item in errors):
        return _refuse(request, HTTPStatus.BAD_REQUEST, f"the body is not valid JSON: {_reasons(errors)}")
    content_type = request.headers.get("content-type", "")
    if request.method == "POST" and errors[0]["loc"] == ("body",) and "json" not in content_type:
        advice = "send a JSON object as body, with Content-Type: application/json"
        return _refuse(request, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, advice)
    return _refuse(request, HTTPStatus.UNPROCESSABLE_ENTITY, _reasons(errors))


def _reasons(errors: Iterable[Any]) -> str:
    def reason(item: Any) -> str:
        place = ".".join(str(part) for part in item["loc"][1:])
        said = item["ctx"]["error"] if item["type"] == "json_invalid" else item["msg"]
        return f"{place}: {said}" if place and item["type"] != "json_invalid" else str(said)

    return "; ".join(map(reason, list(errors)[:10]))


def _answer_store_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)  # noqa: S101
    log.error("the store cannot be used: %s", error.orig)
    detail = f"the store cannot be used now ({error.orig}): try again"
    return _problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "5"})


def _answer_defect(_: Request, error: Exception) -> Response:
    detail = f"clusterm has a defect ({type(error).__name__}); its log says more. Please report it"
    return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail, _SECURITY_HEADERS)  # it passes no middleware


class _SizeLimits:
    """Refuses heads and bodies that are too large, bodies also if they do not say so in advance.

    The server's own limit is about what it must keep while a head is incomplete; one that arrives in a single piece
    gets past it. FastAPI's own `max_body_size` answers in plain text, which would be a second shape of errors.
    """

    def __init__(self, app: ASGIApp, manager: ManagerSettings) -> None:
        self._app = app
        self._head, self._body = manager.max_header_bytes, manager.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if sum(map(len, (scope["raw_path"], scope["query_string"], *chain(*scope["headers"])))) > self._head:
            refusal = f"the address and the headers are larger than {size(self._head)}"
            await _refuse(Request(scope), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, refusal)(scope, receive, send)
            return
        too_large = f"the body is larger than {size(self._body)}"
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced[:20]) > self._body:
            await _refuse(Request(scope), HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large)(scope, receive, send)
            return
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._body:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large)
            return message

        await self._app(scope, receive_limited, send)


class _SecurityHeaders:
    """Puts what browsers are to be told on every answer that does not say otherwise itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
