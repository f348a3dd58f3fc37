"""What the sections share: base class, units of size, addresses and paths."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    field_validator,
)

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


UNIX_PREFIX: Final = "unix:"
"""What an address begins with that is the path of a socket."""

AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class Section(BaseModel):
    """A part of the configuration."""

    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True)

    @field_validator("*")
    @classmethod
    def _check_characters(cls, value: Any) -> Any:
        if isinstance(value, (str, Path)) and not str(value).isprintable():
            raise ValueError("control characters have no place here")
        return value


def split_address(addr: str) -> tuple[str, int]:
    """Split `host:port`, where an IPv6 host stands in brackets and an empty host means every address.

    Raises:
        ValueError: it is not of that form.
    """
    host, colon, port = addr.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{addr!r} is not host:port")
    if host.startswith("[") and host.endswith("]"):
        host = str(ipaddress.IPv6Address(host[1:-1]))
    elif ":" in host:
        raise ValueError(f"{addr!r}: an IPv6 address stands in brackets, as in [::1]:{port}")
    return host or "0.0.0.0", int(port)  # noqa: S104 -- the operator left the host out on purpose


def check_http_url(value: str) -> str:
    """Check that a value is an http or https URL.

    Raises:
        ValueError: it is not.
    """
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not (value.isascii() and value.isprintable()):
        raise ValueError("it has to be http://... or https://...")
    return value
