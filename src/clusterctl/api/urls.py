"""URLs of services."""

import re
from typing import Final
from urllib.parse import urlsplit

from clusterctl.errors import Usage

UNIX: Final = "unix:"
"""Prefix of a URL that is the path of a unix socket."""

DEFAULT_PORT: Final = 9007
DEFAULT_URL: Final = f"http://127.0.0.1:{DEFAULT_PORT}"


def parse_url(text: str) -> str:
    """Return the base URL of a service given as URL, `host:port`, `host`, or `unix:/path`.

    Raises:
        Usage: the text is no URL.
    """
    if text.startswith(UNIX):
        path = text.removeprefix(UNIX).removeprefix("//")
        if not path.startswith("/") or not text.isprintable():
            raise _no_url(text, "the path of a unix socket begins with /")
        return f"{UNIX}{path}"
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = DEFAULT_PORT if parts.port is None and "://" not in text else parts.port
    except ValueError as error:
        raise _no_url(text, str(error)) from None
    host = parts.hostname or ""
    if not text.isprintable():
        raise _no_url(text, "it has characters that cannot be printed")
    if parts.scheme not in {"http", "https"}:
        raise _no_url(text, "it begins with neither http:// nor https://")
    if not re.fullmatch(r"[\w.-]+|[0-9a-f:.]*:[0-9a-f:.]*", host):
        raise _no_url(text, "it names no host")
    if parts.username is not None or parts.query or parts.fragment:
        raise _no_url(text, "it has more than host, port and path")
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"


def _no_url(text: str, reason: str) -> Usage:
    return Usage(
        f"{text!r} is no URL of a service, {reason}: "
        "give --url or CLUSTERM_URL as http://host:port, an IPv6 host in brackets, or unix:/path"
    )
