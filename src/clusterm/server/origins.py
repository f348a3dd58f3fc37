"""ASGI middleware for what a request is addressed to and where it comes from: proxies, host names and web pages."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from clusterm.access.hosts import SAFE_METHODS, AllowedHosts, check_origin
from clusterm.access.proxies import TrustedProxies
from clusterm.errors import CrossOrigin, Misdirected
from clusterm.server.problems import reject
from clusterm.settings import UNIX_PREFIX, ManagerSettings


class ReadForwarded:
    """Replaces what a trusted proxy reports: the client's address, scheme and host, and the path prefix.

    With a prefix, which `manager.root_path` can also set, the path of a request always contains the prefix, as ASGI
    demands, whether the proxy has removed it or not.
    """

    def __init__(self, app: ASGIApp, manager: ManagerSettings) -> None:
        self._app = app
        self._proxies = TrustedProxies(manager.trusted_proxies)
        self._prefix = manager.root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on as the client sent it."""
        if scope["type"] == "http":
            forwarded = self._proxies.read(_peer(scope), Headers(scope=scope))
            if forwarded.client:
                scope["client"] = (forwarded.client, 0)
            if forwarded.scheme:
                scope["scheme"] = forwarded.scheme
            if forwarded.host:
                MutableHeaders(scope=scope)["Host"] = forwarded.host
            if prefix := forwarded.prefix or self._prefix:
                scope["root_path"] = prefix
                if not f"{scope['path']}/".startswith(f"{prefix}/"):
                    scope["path"] = prefix + scope["path"]
        await self._app(scope, receive, send)


class CheckOrigins:
    """Rejects requests to other hosts, and requests to change something that a page of another origin sends.

    Any host is good from a client on the unix socket, to which no page can send requests: such clients choose arbitrary
    names.
    """

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, manager: ManagerSettings) -> None:
        self._app = app
        self._hosts = hosts
        self._public_url = manager.public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or reject it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            try:
                if not _peer(scope).startswith(UNIX_PREFIX):
                    self._hosts.check(headers.get("Host", ""))
                if scope["method"] not in SAFE_METHODS:
                    check_origin(headers, self._public_url)
            except (Misdirected, CrossOrigin) as error:
                await reject(Request(scope), error.code, str(error))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _peer(scope: Scope) -> str:
    return str(scope["client"][0]) if scope["client"] else ""
