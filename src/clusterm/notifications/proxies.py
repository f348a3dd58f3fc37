"""The HTTP proxy for a URL, from the variables HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY of the environment."""

import ipaddress
from typing import Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies_environment

import httpx

_SCHEMES: Final = frozenset({"http", "https"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class UnusableProxy(Exception):
    """The environment names a proxy that cannot be used; the text does not contain its password."""


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy through which to request a URL; None for a direct connection.

    Args:
        url: a valid URL with http or https.

    Raises:
        UnusableProxy: the proxy is of another kind, or its URL is invalid.
    """
    parts, configured = urlsplit(url), getproxies_environment()
    variable = parts.scheme if configured.get(parts.scheme) else "all"
    proxy = configured.get(variable, "").strip()
    if not proxy or any(_matches(parts, entry) for entry in _entries(configured)):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    scheme, _, rest = proxy.partition("://")
    scheme, proxy = scheme.lower(), f"{scheme.lower()}://{rest}"
    name = f"{variable.upper()}_PROXY"
    if scheme not in _SCHEMES:
        raise UnusableProxy(f"{name} names a {scheme} proxy, and only http and https ones can be used")
    try:
        valid = bool(urlsplit(proxy).hostname and httpx.URL(proxy).host)
    except (ValueError, httpx.InvalidURL):
        valid = False
    if not valid:
        raise UnusableProxy(f"{name} is not the URL of a proxy")
    return proxy


def invalid_exemptions() -> list[str]:
    """Return the entries of NO_PROXY that look like networks, and are none."""
    return [entry for entry in _entries(getproxies_environment()) if "/" in entry and _network(entry) is None]


def _entries(configured: dict[str, str]) -> list[str]:
    return configured.get("no", "").replace(",", " ").split()


def _matches(url: SplitResult, entry: str) -> bool:
    """Return whether an entry of NO_PROXY covers a URL: by name or a parent domain, address, network, or all."""
    host = (url.hostname or "").rstrip(".")
    if entry == "*":
        return True
    address = _address(host)
    if address is not None and (network := _network(entry)) is not None:
        return address in network
    name, port = _split_port(entry.lower())
    if port is not None and port != (url.port or _DEFAULT_PORTS[url.scheme]):
        return False
    if address is not None:
        return address == _address(name)
    domain = name.removeprefix("*").strip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _split_port(entry: str) -> tuple[str, int | None]:
    """Return name or address of an entry, without brackets, and its port; None for any port."""
    bracketed, bracket, rest = entry.removeprefix("[").partition("]")
    if entry.startswith("[") and bracket:
        port = rest.removeprefix(":")
        return bracketed, int(port) if port.isdecimal() else None
    name, colon, port = entry.partition(":")
    return (name, int(port)) if colon and port.isdecimal() else (entry, None)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address without its zone, an IPv4-mapped one as IPv4; None for a name."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.replace("[", "").replace("]", ""), strict=False) if "/" in text else None
    except ValueError:
        return None
