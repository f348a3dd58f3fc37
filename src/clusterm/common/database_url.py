"""URLs of PostgreSQL databases, as libpq takes them, and the passwords in them."""

import re
from typing import Final
from urllib.parse import unquote

NAME: Final = "postgresql"

SCHEMES: Final = ("postgresql://", "postgres://")

_USER: Final = re.compile(r"^(?P<scheme>\w+://)(?P<user>[^@/?:]*)(?::(?P<password>[^@/?]*))?@")


def is_postgresql(url: str) -> bool:
    """Return whether a URL is of a PostgreSQL database."""
    return url.startswith(SCHEMES)


def split_password(url: str) -> tuple[str, str | None]:
    """Return a URL without its password, and the password; None if it has none."""
    found = _USER.match(url)
    if not is_postgresql(url) or found is None or found["password"] is None:
        return url, None
    return f"{found['scheme']}{found['user']}@{url[found.end() :]}", unquote(found["password"])


def shown(url: str) -> str:
    """Return a URL without its password and parameters, for messages."""
    return split_password(url)[0].partition("?")[0]
