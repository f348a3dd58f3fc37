"""The configuration: defaults, then a JSON or TOML file, then the environment (`CLUSTERM_ANSIBLE__USER`)."""

import ipaddress
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from clusterm.errors import CannotStart
from clusterm.places import default_state_dir
from clusterm.redaction import SECRET_PATTERN, SecretNames
from clusterm.schemas import ExtraVars
from clusterm.sealing import Seal
from clusterm.states import (
    DEFAULT_HOST_GROUPS,
    DISCOVER_GROUP,
    Auth,
    HostKeyChecking,
    LogFormat,
    LogLevel,
    Role,
    WebhookEvent,
    WebhookTemplate,
)

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _from_switch(value: Any) -> Any:
    """Take true and false for on and off, as ansible has them."""
    switch = {"true": HostKeyChecking.ACCEPT_NEW, "false": HostKeyChecking.OFF}
    return switch.get(str(value).lower(), value)


_TAKEN_GROUPS: Final = frozenset({"all", "ungrouped", DISCOVER_GROUP})
"""Inventory groups with a meaning of their own."""

_UNIX: Final = "unix:"
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
        if not value.startswith(_UNIX):
            split_address(value)
        elif not value.startswith(f"{_UNIX}/"):
            raise ValueError("the path of a unix socket begins with /")
        return value

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str) -> str:
        return _check_http_url(value).rstrip("/") if value else value

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
        return Path(self.addr.removeprefix(_UNIX)) if self.addr.startswith(_UNIX) else None

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


class AnsibleSettings(Section):
    """How ansible is run. May be changed while the service runs; a job keeps what it started with."""

    playbook_location: AbsolutePath = Field(
        default=Path("/etc/clusterm/playbooks"),
        description="Directory of the playbooks. ansible runs in it, and an `ansible.cfg` in it is honoured.",
    )
    configure_playbook: str = Field(default="site.yml", description="Run to commission, update and discover.")
    cleanup_playbook: str = Field(
        default="cleanup.yml", description="Run to decommission, before an update, and after a failed configure."
    )
    upgrade_playbook: str = Field(default="rolling-upgrade.yml", description="Kept for contiv's clients; not run yet.")
    user: str = Field(
        default="", description="User to log in as on the nodes. Empty: as ansible decides.", examples=["vagrant"]
    )
    priv_key_file: str = Field(default="", description="Private ssh key. Empty: as ssh decides.")
    ssh_agent: str = Field(
        default="",
        description="Socket of an ssh agent. Empty: that in the service's `SSH_AUTH_SOCK`, if there is one.",
        examples=["/run/clusterm-agent/socket"],
    )
    host_key_checking: Annotated[HostKeyChecking, BeforeValidator(_from_switch)] = Field(
        default=HostKeyChecking.ACCEPT_NEW,
        description="Whether a node must have the host key that is known of it. `accept-new`, or true: one of which "
        "none is known is trusted at its first use. `strict`: not so. `off`, or false: nothing is checked.",
    )
    become: bool = Field(
        default=False, description="Whether tasks run as another user, unless the playbook says otherwise."
    )
    become_user: str = Field(default="", description="That user. Empty: as ansible decides, which is root.")
    become_method: str = Field(default="", description="How to become it. Empty: as ansible decides, which is sudo.")
    become_password_file: str = Field(
        default="", description="File with the password for that. Empty: there is none to give."
    )
    extra_variables: str = Field(
        default="{}",
        description="A JSON object of extra vars for every job. Globals, then a request's own, override them by key.",
    )
    executable: str = Field(
        default="ansible-playbook",
        description="The program to run: a path, or a name looked up beside clusterm's own Python, then in PATH.",
    )
    register_discovered: bool = Field(
        default=True,
        description="Whether a machine that a discover job has prepared becomes a node when the job is done, called as "
        "its host name and serial. Not where `serf.addr` is set: Serf announces it. False where another monitor does.",
    )
    host_groups: dict[str, Role] = Field(
        default=dict(DEFAULT_HOST_GROUPS),
        description="The site's host groups, the groups of ansible's inventory that nodes are in, and whether each "
        "is of masters or of workers for the rules. New nodes are in the first group of masters.",
        examples=[{"control": "master", "compute": "worker", "storage": "worker"}],
    )
    ssh_args: str = Field(
        default="-o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3",
        description="Options for ssh. The default notices within about 15 seconds that a link was cut.",
    )
    vault_password_file: str = Field(
        default="",
        description="File with the password of ansible vault, or a program that prints it. Empty: as ansible decides.",
    )
    allow_templates_in_vars: bool = Field(
        default=False,
        description="Whether ansible evaluates templates in globals, host vars and a request's extra vars. "
        "If not, they stay text. Those in `extra_variables` are always evaluated.",
    )
    secret_pattern: str = Field(
        default=SECRET_PATTERN,
        description="Regular expression for the names of secrets, in upper or lower case, found anywhere in a name. "
        "Their values are masked in answers and logs, and encrypted in the database. Empty: only `secret_vars` are.",
    )
    secret_vars: list[str] = Field(
        default=[], description="Further names of secrets, in full.", examples=[["license", "snmp_community"]]
    )

    job_timeout: float = Field(
        default=0, ge=0, description="Seconds after which a job is stopped. 0: never. A request may say otherwise."
    )
    idle_timeout: float = Field(
        default=0, ge=0, description="Seconds without output after which a job is stopped. 0: never."
    )
    stop_grace: float = Field(
        default=10,
        gt=0,
        description="Seconds that ansible has to end after SIGINT, and again after SIGTERM, before SIGKILL.",
    )

    @field_validator("extra_variables", mode="before")
    @classmethod
    def _check_extra_variables(cls, value: Any) -> Any:
        holder = _ExtraVarsHolder.model_validate({"extra_vars": value})
        return json.dumps(holder.extra_vars)

    @field_validator("secret_pattern")
    @classmethod
    def _check_secret_pattern(cls, value: str) -> str:
        try:
            SecretNames(value)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"{value[:80]!r} is not a regular expression: {error}") from None
        return value

    @field_validator("host_groups")
    @classmethod
    def _check_host_groups(cls, value: dict[str, Role]) -> dict[str, Role]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", name) or name in _TAKEN_GROUPS:
                raise ValueError(f"{name[:80]!r} cannot be the name of a host group")
        if Role.MASTER not in value.values():
            raise ValueError("at least one host group has to be of masters")
        return value

    @field_validator("ssh_args")
    @classmethod
    def _check_ssh_args(cls, value: str) -> str:
        if "{{" in value or "{%" in value:
            raise ValueError("ansible would take {{ and {% for a template")
        return value


class _ExtraVarsHolder(BaseModel):
    extra_vars: ExtraVars


class SerfSettings(Section):
    """The Serf agent that tells which nodes there are."""

    addr: str = Field(
        default="",
        description="RPC address of a Serf agent, `host:port`. Empty: Serf is not used.",
        examples=["127.0.0.1:7373"],
    )
    auth_key: SecretStr = Field(
        default=SecretStr(""),
        description="The agent's `rpc_auth`. Empty: it has none.",
        json_schema_extra={"writeOnly": False},  # it is answered, too, as asterisks
    )
    # An integer, for contiv's client reads no other number.
    timeout: int = Field(default=10, ge=1, le=3600, description="Seconds that the agent has to answer.")

    @field_validator("addr")
    @classmethod
    def _check_addr(cls, value: str) -> str:
        if value and split_address(value)[1] == 0:
            raise ValueError("port 0 is nobody's")
        return value


class MonitorSettings(Section):
    """How clusterm itself watches the nodes."""

    probe: bool | None = Field(
        default=None,
        description="Whether to look if each node answers at its ssh port. Default: where `serf.addr` is empty.",
    )
    interval: float = Field(default=30, gt=0, description="Seconds between two looks at a node.", allow_inf_nan=False)
    timeout: float = Field(default=3, gt=0, le=60, description="Seconds that a node has to answer.")
    misses: int = Field(default=3, ge=1, description="A node has disappeared when it did not answer so often in a row.")
    concurrency: int = Field(default=200, ge=1, le=500, description="How many nodes are looked at at once.")


class RetentionSettings(Section):
    """How much is kept. A node's last successful and last failed job are kept in any case."""

    jobs: int = Field(default=100, ge=1, description="Jobs that have ended.")
    days: float = Field(default=0, ge=0, description="Days after its end that a job is kept. 0: no limit.")
    log_bytes: int = Field(default=GIB, ge=MIB, description="Bytes of all logs together.")
    job_log_bytes: int = Field(
        default=256 * MIB, ge=64 * KIB, description="Bytes of one job's log; of a larger one head and tail are kept."
    )
    timeline: int = Field(default=1000, ge=1, le=10**6, description="Events that the timeline reaches back.")
    node_events: int = Field(default=1000, ge=1, le=10**6, description="Events kept of each node.")


class Webhook(Section):
    """A receiver of notifications."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$", description="What to call it.", examples=["ops"])
    url: str = Field(description="Where to POST to.", examples=["https://hooks.example.org/clusterm"])
    events: tuple[WebhookEvent, ...] = Field(
        default=(WebhookEvent.JOB_FAILED, WebhookEvent.NODE_DISAPPEARED),
        min_length=1,
        description="What it is told of.",
        examples=[["job_ended", "node_disappeared", "node_returned"]],
    )
    template: WebhookTemplate = Field(default=WebhookTemplate.JSON, description="How it wants to be told.")
    secret: SecretStr = Field(
        default=SecretStr(""), description="The key of the signature that goes with each message. Empty: none goes."
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Further headers of each request.",
        examples=[{"Authorization": "Bearer ..."}],
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        return _check_http_url(value)

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in value.items():
            text = secret.get_secret_value()
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not (text.isascii() and text.isprintable()):
                raise ValueError(f"{name[:80]!r} is no header with a value of printable ASCII characters")
        return value


class NotificationSettings(Section):
    """Who is told when jobs end and nodes come or go. Is read again on SIGHUP."""

    webhooks: tuple[Webhook, ...] = Field(default=(), description="The receivers.")
    give_up_after: float = Field(default=3, gt=0, le=365, description="Days that a message is tried to be sent.")
    settle: float = Field(
        default=10,
        ge=0,
        le=3600,
        description="Seconds that news of a node wait for more, so that nodes which go together are told of together.",
    )

    @field_validator("webhooks")
    @classmethod
    def _check_webhooks(cls, value: tuple[Webhook, ...]) -> tuple[Webhook, ...]:
        if len({webhook.name for webhook in value}) < len(value):
            raise ValueError("two webhooks have the same name")
        return value


class Settings(BaseSettings):
    """The configuration of one clusterm."""

    model_config = SettingsConfigDict(
        env_prefix="CLUSTERM_", env_nested_delimiter="__", extra="forbid", validate_default=True, frozen=True
    )

    manager: ManagerSettings = Field(default_factory=ManagerSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    ansible: AnsibleSettings = Field(default_factory=AnsibleSettings)
    serf: SerfSettings = Field(default_factory=SerfSettings)
    monitor: MonitorSettings = Field(default_factory=MonitorSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    notifications: NotificationSettings = Field(default_factory=NotificationSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 -- pydantic-settings calls with these names
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, which comes in through `__init__`."""
        return env_settings, init_settings

    @property
    def store_url(self) -> str:
        """The database's URL."""
        return self.store.url or f"sqlite:///{self.manager.state_dir / 'clusterm.db'}"

    @property
    def probes(self) -> bool:
        """Whether clusterm itself looks if its nodes answer."""
        return not self.serf.addr if self.monitor.probe is None else self.monitor.probe

    @property
    def secret_names(self) -> SecretNames:
        """What tells by its name whether a variable is secret."""
        return SecretNames(self.ansible.secret_pattern, self.ansible.secret_vars)

    @property
    def key_file(self) -> Path:
        """Where the key is that secrets in the database are encrypted with."""
        return self.manager.state_dir / "secret.key"

    @property
    def seal(self) -> Seal:
        """What encrypts secrets and decrypts them."""
        return Seal(self.key_file, self.secret_names)

    @property
    def jobs_dir(self) -> Path:
        """Where running jobs have a directory each."""
        return self.manager.state_dir / "jobs"


def load(source: str | None = None) -> Settings:
    """Read the configuration.

    Args:
        source: path of a JSON or TOML file; `-` for standard input; None for no file.

    Raises:
        CannotStart: the file cannot be read, or a value is not valid.
    """
    try:
        return Settings(**_read(source))
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise CannotStart(f"the configuration is not valid: {reasons}") from None


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


def size(number: int) -> str:
    """Write a number of bytes in the largest unit that it is a multiple of."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if number % unit == 0:
            return f"{number // unit} {name}"
    return f"{number} bytes"


def _check_http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not (value.isascii() and value.isprintable()):
        raise ValueError("it has to be http://... or https://...")
    return value


def _read(source: str | None) -> dict[str, Any]:
    if source is None:
        return {}
    name = "standard input" if source == "-" else source
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(f"cannot read the configuration from {name}: {error}") from None
    try:
        values = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise CannotStart(f"the configuration in {name} is neither JSON nor TOML: {error}") from None
    return dict(values)
