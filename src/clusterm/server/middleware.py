"""ASGI middleware: methods, request limits, response headers and metrics."""

import time
from http import HTTPStatus
from itertools import chain

import anyio
from fastapi import Request, Response
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clusterm.common.sizes import exact_size
from clusterm.observability.metrics import HTTP_METHODS, OTHER_LABEL, Metrics
from clusterm.problem_codes import ProblemCode
from clusterm.server.problems import ALL_METHODS, SECURITY_HEADERS, reject
from clusterm.settings import ManagerSettings


class CountRequests:
    """Records count and duration of requests.

    Args:
        app: the next ASGI application.
        metrics: the service's metrics.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and record status and duration of its response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in HTTP_METHODS else OTHER_LABEL
        began = time.perf_counter()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", OTHER_LABEL)
                self._metrics.requests.labels(method, route, message["status"]).inc()
                self._metrics.durations.labels(method, route).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, send_counted)


class AnswerHeadAndOptions:
    """Responds to HEAD as to GET without the body, and to OPTIONS for the whole service."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; respond to `OPTIONS /` and `OPTIONS *`, which have no route."""
        if scope["type"] != "http" or scope["method"] not in {"HEAD", "OPTIONS"}:
            await self._app(scope, receive, send)
        elif scope["method"] == "HEAD":
            await self._respond_to_head(scope, receive, send)
        elif scope["path"].removeprefix(scope["root_path"]) in {"", "/", "*"}:
            await Response(status_code=HTTPStatus.NO_CONTENT, headers={"Allow": ALL_METHODS})(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _respond_to_head(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["method"] = "GET"
        with anyio.CancelScope() as responding:

            async def send_head(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await send(message)
                    await send({"type": "http.response.body"})
                    responding.cancel()  # the body may have no end

            await self._app(scope, receive, send_head)


class SizeLimits:
    """Rejects heads and bodies that are too large, including bodies without a `Content-Length`.

    The server's own limit covers only the buffer for an incomplete head, so a head that arrives in one piece passes.
    FastAPI's `max_body_size` responds in plain text, not with a problem.
    """

    def __init__(self, app: ASGIApp, manager: ManagerSettings) -> None:
        self._app = app
        self._head, self._body = manager.max_header_bytes, manager.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or reject it if it is too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if sum(map(len, (scope["raw_path"], scope["query_string"], *chain(*scope["headers"])))) > self._head:
            refusal = f"the address and the headers are larger than {exact_size(self._head)}"
            await reject(Request(scope), ProblemCode.HEAD_TOO_LARGE, refusal)(scope, receive, send)
            return
        too_large = f"the body is larger than {exact_size(self._body)}"
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced[:20]) > self._body:
            await reject(Request(scope), ProblemCode.BODY_TOO_LARGE, too_large)(scope, receive, send)
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


class ResponseHeaders:
    """Adds the security headers to every response that does not set them itself.

    Responses of routes that need a token must not be stored, also not by a cache that ignores `Authorization`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to the response."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if getattr(scope.get("route"), "role", None) is not None:
                    headers["Cache-Control"] = "no-store"
                    headers.add_vary_header("Authorization")
            await send(message)

        await self._app(scope, receive, send_with_headers)
