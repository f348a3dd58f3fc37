"""Sections `manager` and `store`."""

from pathlib import Path
from typing import Self

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from clusterm.common.paths import default_state_dir
from clusterm.enums import Auth, LogFormat, LogLevel
from clusterm.settings.base import GIB, KIB, MIB, UNIX_PREFIX, AbsolutePath, Section, check_http_url, split_address


class ManagerSettings(Section):
    """Settings of the service itself."""

    addr: str = Field(
        default="127.0.0.1:9007",
        description="Address to listen on: `host:port` (port 0 selects a free port), or `unix:` and the path of a "
        "socket.",
        examples=["unix:/run/clusterm/clusterm.sock"],
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
        default_factory=default_state_dir,
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
        default=False,
        description="Whether nodes can pass in a job in which other nodes fail. If false, one failure fails all nodes "
        "of the job.",
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
    log_format: LogFormat = Field(
        default=LogFormat.TEXT, description="Format of the service's own log: text, or one JSON object per line."
    )
    log_level: LogLevel = Field(default=LogLevel.INFO, description="Minimum severity of messages in that log.")

    @field_validator("addr")
    @classmethod
    def _check_addr(cls, value: str) -> str:
        if not value.startswith(UNIX_PREFIX):
            split_address(value)
        elif not value.startswith(f"{UNIX_PREFIX}/"):
            raise ValueError("the path of a unix socket must start with /")
        return value

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str) -> str:
        return check_http_url(value).rstrip("/") if value else value

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if not self.tls_cert and (self.tls_key or self.tls_client_ca):
            raise ValueError("TLS needs tls_cert")
        if self.tls_cert and self.socket_path:
            raise ValueError("a unix socket has no TLS: remove tls_cert")
        return self

    @property
    def socket_path(self) -> Path | None:
        """The path of the unix socket; None for a network address."""
        return Path(self.addr.removeprefix(UNIX_PREFIX)) if self.addr.startswith(UNIX_PREFIX) else None

    @property
    def mode(self) -> int:
        """The permissions of the unix socket."""
        return int(self.socket_mode, 8)


class StoreSettings(Section):
    """The database."""

    url: str = Field(
        default="",
        description="Database URL, `sqlite:///<absolute path>`. Empty: `clusterm.db` in the state directory.",
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        if value and not value.startswith("sqlite:////"):
            raise ValueError("only sqlite:///<absolute path> is supported")
        return value
