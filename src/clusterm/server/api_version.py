"""ASGI middleware for the version of the API in the path of a request."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from clusterm.routes.docs import DOCS_PATHS

V1: Final = "/v1"
"""Prefix of the paths of version 1."""


class ReadApiVersion:
    """Removes the version from the path, so that `/v1/info/jobs` is the route `/info/jobs` in every respect.

    What follows has one path for both: routes, roles, idempotency keys, metrics and the log. The documentation has no
    version: its URLs are relative to its own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on without the version in its path."""
        if scope["type"] == "http":
            prefix = scope["root_path"]
            path = scope["path"].removeprefix(prefix)
            if path.startswith(f"{V1}/") and not path.removeprefix(V1).startswith(DOCS_PATHS):
                scope["path"] = prefix + path.removeprefix(V1)
        await self._app(scope, receive, send)
