"""Host names of the service, and requests that a web page sends: protection against DNS rebinding and forged requests.

A page of another site in a user's browser can send requests to a service that only the user can reach. With DNS
rebinding, it even reads the responses: its own name resolves to the service's address, so the browser takes the service
for the page's origin. Such requests name the page's host in `Host`.
"""

import re
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from clusterm.errors import CrossOrigin, Misdirected, NoThread, quote
from clusterm.settings import ManagerSettings

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, section 9.2.1)."""

_HOST: Final = re.compile(r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_.-]+?)\.?)(?::\d{1,5})?", re.ASCII)
_SAME_SITE: Final = frozenset({"same-origin", "none"})  # "none": typed by the user, or a bookmark
_FULL_NAME_TIMEOUT_S: Final = 1.0


class AllowedHosts:
    """The names of the service in the `Host` header of requests.

    Every IP address is allowed, because a page needs a name to rebind. So are `localhost`, the names of this machine,
    the hosts of `manager.public_url` and `manager.addr`, `manager.allowed_hosts`, and the names in the certificate.

    Args:
        manager: the settings.
        certificate_names: returns the DNS names in the present certificate.
    """

    def __init__(self, manager: ManagerSettings, certificate_names: Callable[[], Collection[str]] = tuple) -> None:
        self._certificate_names = certificate_names
        self._names = frozenset(
            name.lower().rstrip(".")
            for name in (
                "localhost",
                "*.localhost",
                *_machine_names(),
                urlsplit(manager.public_url).hostname or "",
                *manager.hosts,
                *manager.allowed_hosts,
            )
        )

    def check(self, host: str) -> None:
        """Check the `Host` header of a request.

        Args:
            host: the header; empty if the request has none, as no browser sends it.

        Raises:
            Misdirected: it is not a name of this service.
        """
        if not host:
            return
        parsed = _HOST.fullmatch(host.lower())
        if parsed is None or not (_is_address(parsed) or self._is_name(parsed["name"])):
            raise Misdirected(
                f"{quote(host)} is not a name of this service: add it to manager.allowed_hosts, or use an IP address"
            )

    def _is_name(self, name: str) -> bool:
        return any(_matches(name, each) for names in (self._names, self._certificate_names()) for each in names)


def check_origin(headers: Mapping[str, str], public_url: str) -> None:
    """Check that a request which may change something does not come from a page of another origin.

    The checks are those of Go's `http.CrossOriginProtection`. Browsers send `Origin` in all cases, and `Sec-Fetch-Site`
    over https and to the local host; other clients send neither, and no page can make a browser omit both.

    Args:
        headers: headers of the request, with `Host` as the client sent it.
        public_url: URL at which users reach the service; its origin may send requests.

    Raises:
        CrossOrigin: it does.
    """
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site in _SAME_SITE or (site is None and origin is None):
        return
    sender = _origin(origin or "")
    if sender and public_url and sender == _origin(public_url):
        return
    if site is None and sender and sender == _origin(f"{sender[0]}://{headers.get('Host', '')}"):
        return
    raise CrossOrigin(f"a page {f'of {quote(origin)}' if origin else 'of another site'} may not change anything here")


def check_own_page(headers: Mapping[str, str], public_url: str) -> None:
    """Check that a request with a cookie comes from a page of this service, and not from another client or page.

    Cookies do not know ports, and `SameSite` does not either: a page of another port of the same host sends them.

    Args:
        headers: headers of the request, with `Host` as the client sent it.
        public_url: URL at which users reach the service.

    Raises:
        CrossOrigin: it does not, or does not say where it comes from.
    """
    if headers.get("Sec-Fetch-Site") == "none" or not ("Sec-Fetch-Site" in headers or "Origin" in headers):
        raise CrossOrigin("only a page of the dashboard itself may send this")
    check_origin(headers, public_url)


def _matches(name: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return pattern in {name, "*"}


def _is_address(parsed: re.Match[str]) -> bool:
    try:
        ip_address(parsed["ipv6"] or parsed["name"])
    except ValueError:
        return False
    return True


def _origin(url: str) -> tuple[str, str] | tuple[()]:
    """Return scheme and host of a URL, with the port unless it is the scheme's own; nothing if there is no host."""
    try:
        parts = urlsplit(url.lower())
    except ValueError:
        return ()
    port = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    host = parts.netloc.removesuffix(port) if port else parts.netloc
    return (parts.scheme, host) if host else ()


def _machine_names() -> Collection[str]:
    """Return the host name of this machine, and its fully qualified name unless DNS delays it."""
    names = {socket.gethostname()}
    lookup = threading.Thread(target=lambda: names.add(socket.getfqdn()), daemon=True)
    try:
        lookup.start()
    except RuntimeError as error:
        raise NoThread("the names of this machine cannot be looked up", error) from error
    lookup.join(_FULL_NAME_TIMEOUT_S)
    return set(names)
