"""The version is removed from a path below any prefix, once, and not from the documentation's paths."""

import asyncio
from typing import cast

import pytest
from starlette.types import Receive, Scope, Send

from clusterm.server.api_version import ReadApiVersion


@pytest.mark.parametrize("prefix", ["", "/behind/a/proxy", "/v1"])
@pytest.mark.parametrize(
    ("path", "routed"),
    [
        ("/v1/info/nodes", "/info/nodes"),
        ("/info/nodes", "/info/nodes"),
        ("/v1/v1/info/nodes", "/v1/info/nodes"),
        ("/v1/", "/"),
        ("/v1", "/v1"),
        ("/v1info/nodes", "/v1info/nodes"),
        ("/v2/info/nodes", "/v2/info/nodes"),
        ("/v1/docs", "/v1/docs"),
        ("/v1/openapi.json", "/v1/openapi.json"),
        ("/v1/static-offline-docs/swagger-ui.css", "/v1/static-offline-docs/swagger-ui.css"),
    ],
)
def test_a_path_is_routed(prefix: str, path: str, routed: str) -> None:
    paths = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])

    scope = {"type": "http", "path": prefix + path, "root_path": prefix}
    asyncio.run(ReadApiVersion(application)(scope, cast("Receive", None), cast("Send", None)))
    assert paths == [prefix + routed]
