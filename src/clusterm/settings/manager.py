"""Sections `manager` and `store`."""

import re
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from clusterm.common.database_url import is_postgresql
from clusterm.common.paths import default_state_dir
from clusterm.enums import Auth, LogFormat, LogLevel
from clusterm.errors import StartupError
from clusterm.settings.base import (
    GIB,
    KIB,
    MIB,
    UNIX_PREFIX,
    AbsolutePath,
    Section,
    check_http_url,
    split_address,
)

_HOST_NAME: Final = re.compile(r"\*|(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")
PATH_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
"""A path below which a reverse proxy serves the service; empty for the root."""


def _state_dir() -> Path:
    try:
        return default_state_dir()
    except RuntimeError:
        raise StartupError(
            "this user has no home directory for the state: set manager.state_dir, or CLUSTERM_MANAGER__STATE_DIR"
        ) from None


def _check_host_name(value: str) -> str:
    if not _HOST_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a host name; `*.example.org` means all names below example.org")
    return value


def _check_peer(value: str) -> str:
    if not value.startswith(UNIX_PREFIX):
        ip_network(value)
    return value


def _split(addr: str) -> list[str]:
    return [item.strip() for item in addr.split(",") if item.strip()]


HostName = Annotated[str, AfterValidator(_check_host_name)]
Peer = Annotated[str, AfterValidator(_check_peer)]


class ManagerSettings(Section):
    """Settings of the service itself."""

    addr: str = Field(
        default="127.0.0.1:9007",
        description="Address to listen on: `host:port` (port 0 selects a free port), or `unix:` and the path of a "
        "socket. `:9007` and `[::]:9007` mean every address, IPv4 and IPv6. Several addresses are a list, or separated "
        "by commas.",
        examples=["unix:/run/clusterm/clusterm.sock", "127.0.0.1:9007, unix:/run/clusterm/clusterm.sock"],
    )
    socket_mode: str = Field(
        default="0660",
        pattern=r"^0?[0-7]{3}$",
        description="Permissions of the unix socket, in octal. Clients need write permission to connect.",
    )
    tls_cert: AbsolutePath | None = Field(
        default=None,
        description="File with the service's certificate and its intermediate certificates, in PEM. Enables TLS.",
    )
    tls_key: AbsolutePath | None = Field(
        default=None, description="File with the certificate's key in PEM. Default: `tls_cert`."
    )
    tls_client_ca: AbsolutePath | None = Field(
        default=None, description="File with CAs in PEM. Clients without a certificate from one of them are rejected."
    )
    allowed_hosts: list[HostName] = Field(
        default_factory=list,
        description="Names of the service in URLs, besides the known ones: IP addresses, `localhost`, the host "
        "names of the machine, and the names in `addr`, `public_url` and `tls_cert`. A request to another name gets "
        "421. `*.example.org` means all names below example.org; `*` disables the check.",
        examples=[["clusterm.example.org"]],
    )
    root_path: str = Field(
        default="",
        description="Path below which a reverse proxy serves the service. The proxy may remove it from requests, or "
        "keep it.",
        examples=["/clusterm"],
    )
    trusted_proxies: list[Peer] = Field(
        default_factory=list,
        description="Reverse proxies whose `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix` headers are used: IP "
        "addresses, networks, and users on the unix socket.",
        examples=[["10.0.0.5", "unix:www-data"]],
    )
    max_connections: int = Field(
        default=2000, ge=1, description="Maximum number of open connections; further ones are refused."
    )
    max_connections_per_address: int = Field(
        default=500,
        ge=1,
        description="Maximum number of open connections from one IP address, except a trusted proxy's.",
    )
    keep_alive: float = Field(
        default=75,
        gt=0,
        allow_inf_nan=False,
        description="Seconds for which an idle connection stays open. Longer than a reverse proxy keeps its "
        "connections, otherwise the proxy may send a request when the connection is just being closed.",
    )
    max_body_bytes: int = Field(
        default=10 * MIB, ge=KIB, le=GIB, description="Maximum size of a request's body, in bytes."
    )
    max_header_bytes: int = Field(
        default=64 * KIB, ge=KIB, le=MIB, description="Maximum size of a request's URL and headers, in bytes."
    )
    client_timeout: float = Field(
        default=60,
        gt=0,
        allow_inf_nan=False,
        description="Seconds within which a client must send a request, and read the next part of a response, before "
        "it is disconnected.",
    )
    state_dir: AbsolutePath = Field(
        default_factory=_state_dir,
        description="Directory of the database and of running jobs. "
        "Default: `/var/lib/clusterm` for root, otherwise `clusterm` in the user's XDG state directory.",
    )
    auth: Auth = Field(
        default=Auth.TOKEN,
        description="Authentication mode. `token`: requests need a token. `none`: no authentication; only allowed on "
        "local addresses.",
    )
    requests_per_minute: int = Field(
        default=6000,
        ge=0,
        description="Maximum requests per minute and token; further requests get 429. 0 disables the limit.",
    )
    max_streams: int = Field(
        default=100, ge=1, description="Maximum number of open streams per token, such as followed logs."
    )
    max_active_jobs: int = Field(
        default=1, ge=1, le=100, description="Maximum number of jobs that run at once, each on nodes of its own."
    )
    partial_success: bool = Field(
        default=True,
        description="Whether nodes can pass in a job in which other nodes fail. If false, one failure fails all nodes "
        "of the job, as in contiv.",
    )
    public_url: str = Field(
        default="",
        description="URL at which users reach the service, for links in notifications. Empty: no links.",
        examples=["https://clusterm.example.org"],
    )
    min_free_bytes: int = Field(
        default=256 * MIB,
        ge=0,
        description="Bytes of free disk space below which the service is not ready. 0 disables the check.",
    )
    ui: bool = Field(
        default=True, description="Whether the dashboard is served at `/ui/`. If false, its paths do not exist."
    )
    log_format: LogFormat = Field(
        default=LogFormat.TEXT, description="Format of the service's own log: text, or one JSON object per line."
    )
    log_level: LogLevel = Field(default=LogLevel.INFO, description="Minimum severity of messages in that log.")

    @field_validator("addr", mode="before")
    @classmethod
    def _join_addresses(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            return ", ".join(value)
        return value

    @field_validator("addr")
    @classmethod
    def _check_addr(cls, value: str) -> str:
        addresses = _split(value)
        if not addresses or len(set(addresses)) < len(addresses):
            raise ValueError("give one address or several different ones, as host:port or unix:/path")
        for addr in addresses:
            if not addr.startswith(UNIX_PREFIX):
                split_address(addr)
            elif not addr.startswith(f"{UNIX_PREFIX}/"):
                raise ValueError("the path of a unix socket must start with /")
        return value

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, value: str) -> str:
        if not PATH_PREFIX.fullmatch(value.rstrip("/")):
            raise ValueError("the path must start with / and consist of letters, digits and any of . _ ~ -")
        return value.rstrip("/")

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str) -> str:
        return check_http_url(value).rstrip("/") if value else value

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if not self.tls_cert and (self.tls_key or self.tls_client_ca):
            raise ValueError("TLS needs tls_cert")
        if self.tls_cert and any(addr.startswith(UNIX_PREFIX) for addr in self.addresses):
            raise ValueError("a unix socket has no TLS: remove tls_cert")
        return self

    @property
    def addresses(self) -> Sequence[str]:
        """The addresses to listen on, each `host:port` or `unix:/path`."""
        return _split(self.addr)

    @property
    def hosts(self) -> Sequence[str]:
        """The hosts to listen on, as names or IP addresses."""
        return [split_address(addr)[0] for addr in self.addresses if not addr.startswith(UNIX_PREFIX)]


class StoreSettings(Section):
    """The database."""

    url: str = Field(
        default="",
        description="Database URL: `sqlite:///<absolute path>`, or `postgresql://user@host/database` with any "
        "parameters of libpq, such as `?passfile=<absolute path>` for a file with the password. Empty: `clusterm.db` "
        "in the state directory.",
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        if value and not (value.startswith("sqlite:////") or is_postgresql(value)):
            raise ValueError("only sqlite:///<absolute path> and postgresql://user@host/database are supported")
        if is_postgresql(value) and "password=" in value:
            raise ValueError("a password is not taken from a parameter: use passfile=<absolute path>")
        return value
