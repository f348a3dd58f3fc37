"""Base class, sizes, addresses and paths for the sections of the configuration."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    SecretStr,
    field_validator,
)

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def absolute(path: Path) -> Path:
    """Return the absolute path of a path of the configuration, which may begin with `~`.

    Raises:
        ValueError: there is no such user, or the user has no home directory.
    """
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}") from None


UNIX_PREFIX: Final = "unix:"
"""Prefix of an address that is the path of a unix socket."""

AbsolutePath = Annotated[Path, AfterValidator(absolute)]


def model_of(annotation: Any) -> Any:
    """Return the model of a section, or of each of its named parts as those of `actions`."""
    return get_args(annotation)[-1] if get_origin(annotation) is dict else annotation


def prefix_of(section: str, annotation: Any) -> str:
    """Return what is before the keys of a section, as `ansible` or `actions.NAME`."""
    return f"{section}.NAME" if get_origin(annotation) is dict else section


class Section(BaseModel):
    """Base class of the sections of the configuration."""

    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True)

    @field_validator("*")
    @classmethod
    def _check_characters(cls, value: Any) -> Any:
        if isinstance(value, (str, Path)) and not str(value).isprintable():
            raise ValueError("control characters are not allowed")
        return value


def split_address(addr: str) -> tuple[str, int]:
    """Split `host:port`. An IPv6 host needs brackets; an empty host means every address.

    Raises:
        ValueError: the address does not have that form.
    """
    host, colon, port = addr.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{addr!r} is not host:port")
    if host.startswith("[") and host.endswith("]"):
        host = str(ipaddress.IPv6Address(host[1:-1]))
    elif ":" in host:
        raise ValueError(f"{addr!r}: an IPv6 address must be in brackets, as in [::1]:{port}")
    return host or "0.0.0.0", int(port)  # noqa: S104 -- the operator left the host out on purpose


def unix_path(addr: str) -> Path | None:
    """Return the path of the unix socket at an address; None for a network address."""
    return Path(addr.removeprefix(UNIX_PREFIX)) if addr.startswith(UNIX_PREFIX) else None


def check_http_url(value: str) -> str:
    """Check that a value is an http or https URL.

    Raises:
        ValueError: the value is not.
    """
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not (value.isascii() and value.isprintable()):
        raise ValueError("the URL must start with http:// or https://")
    return value


def check_headers(value: dict[str, SecretStr]) -> dict[str, SecretStr]:
    """Check that values are headers of HTTP.

    Raises:
        ValueError: one is not.
    """
    for name, secret in value.items():
        text = secret.get_secret_value()
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not (text.isascii() and text.isprintable()):
            raise ValueError(f"{name[:80]!r} is not a header with a value of printable ASCII characters")
    return value
