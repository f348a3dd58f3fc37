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
    """The service itself."""

    addr: str = Field(
        default="127.0.0.1:9007",
        description="Where to listen: `host:port`, where port 0 takes a free one, or `unix:` and the path of a socket.",
        examples=["unix:/run/clusterm/clusterm.sock"],
    )
    socket_mode: str = Field(
        default="0660",
        pattern=r"^0?[0-7]{3}$",
        description="Permissions of that socket, in octal: who may write to it gets in.",
    )
    tls_cert: AbsolutePath | None = Field(
        default=None,
        description="File with the service's certificate, and those between it and its CA, in PEM: speak TLS.",
    )
    tls_key: AbsolutePath | None = Field(
        default=None, description="File with the certificate's key in PEM. Default: it is in the certificate's file."
    )
    tls_client_ca: AbsolutePath | None = Field(
        default=None, description="File with CAs in PEM: let in only clients with a certificate from one of them."
    )
    max_body_bytes: int = Field(default=10 * MIB, ge=KIB, le=GIB, description="Bytes that a request's body may have.")
    max_header_bytes: int = Field(
        default=64 * KIB, ge=KIB, le=MIB, description="Bytes that a request's address and headers may have."
    )
    client_timeout: float = Field(
        default=60,
        gt=0,
        allow_inf_nan=False,
        description="Seconds that a client has to send a request, and to take some more of an answer.",
    )
    state_dir: AbsolutePath = Field(
        default_factory=default_state_dir,
        description="Directory of the database and of running jobs. "
        "Default: `/var/lib/clusterm` for root, else `clusterm` in the user's XDG state directory.",
    )
    auth: Auth = Field(
        default=Auth.TOKEN,
        description="Whom to let in: `token`, who has a token; `none`, everybody, which needs an `addr` that only this "
        "machine can reach.",
    )
    requests_per_minute: int = Field(
        default=6000,
        ge=0,
        description="How many requests each token may send in a minute; more are answered with 429. 0: any number.",
    )
    max_streams: int = Field(
        default=100, ge=1, description="How many answers each token may have open that follow something, as a log."
    )

    max_active_jobs: int = Field(
        default=1, ge=1, le=100, description="How many jobs may run at once, each on nodes of its own."
    )
    partial_success: bool = Field(
        default=False,
        description="Whether nodes may pass in a job in which others fail. If not, the job fails all of its nodes.",
    )
    public_url: str = Field(
        default="",
        description="Where people reach the service, for links in notifications. Empty: they have none.",
        examples=["https://clusterm.example.org"],
    )
    min_free_bytes: int = Field(
        default=256 * MIB,
        ge=0,
        description="The service is not ready while its disks have less room than this. 0: no matter how little.",
    )
    log_format: LogFormat = Field(
        default=LogFormat.TEXT, description="How the service writes its own log: as text, or an object on each line."
    )
    log_level: LogLevel = Field(default=LogLevel.INFO, description="The least that is worth a line of it.")

    @field_validator("addr")
    @classmethod
    def _check_addr(cls, value: str) -> str:
        if not value.startswith(UNIX_PREFIX):
            split_address(value)
        elif not value.startswith(f"{UNIX_PREFIX}/"):
            raise ValueError("the path of a unix socket begins with /")
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
            raise ValueError("a unix socket has no TLS: leave tls_cert out")
        return self

    @property
    def socket_path(self) -> Path | None:
        """The file of the unix socket, if there is to be one."""
        return Path(self.addr.removeprefix(UNIX_PREFIX)) if self.addr.startswith(UNIX_PREFIX) else None

    @property
    def mode(self) -> int:
        """The permissions of the unix socket."""
        return int(self.socket_mode, 8)


class StoreSettings(Section):
    """Where everything is kept."""

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
