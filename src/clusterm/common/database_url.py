"""URLs of PostgreSQL databases, as libpq takes them, and the passwords in them."""

import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

NAME: Final = "postgresql"

PASSWORD_VARIABLE: Final = "CLUSTERM_STORE_PASSWORD"  # noqa: S105 -- its name
"""Environment variable with the password, for executors; ansible does not inherit it."""

_LIBPQ_PASSWORD: Final = "PGPASSWORD"  # noqa: S105 -- its name

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


def password_environment(url: str) -> Mapping[str, str]:
    """Return the environment that gives the password of a URL to a process that has only the URL without it."""
    password = split_password(url)[1] or os.environ.get(PASSWORD_VARIABLE)
    return {PASSWORD_VARIABLE: password} if password and is_postgresql(url) else {}


def hide_libpq_password(url: str) -> None:
    """Move the password that libpq takes from the environment to where ansible does not inherit it."""
    if is_postgresql(url) and (password := os.environ.pop(_LIBPQ_PASSWORD, None)):
        os.environ.setdefault(PASSWORD_VARIABLE, password)
