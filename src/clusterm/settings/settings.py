"""The configuration: defaults, then a JSON or TOML file, then the environment (`CLUSTERM_ANSIBLE__USER`)."""

import json
import sys
import tomllib
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, get_origin

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from clusterm.common.actions import ACTIONS, ActionSpec
from clusterm.common.files import read_regular
from clusterm.common.redaction import SecretNames
from clusterm.errors import NotFound, StartupError, quote
from clusterm.problem_codes import ProblemCode
from clusterm.secrets.encryption import VariableCipher
from clusterm.settings.actions import ActionSettings
from clusterm.settings.ansible import AnsibleSettings
from clusterm.settings.base import Section
from clusterm.settings.manager import ManagerSettings, StoreSettings
from clusterm.settings.monitoring import MonitorSettings, SerfSettings
from clusterm.settings.notifications import NotificationSettings
from clusterm.settings.retention import RetentionSettings
from clusterm.settings.telemetry import TelemetrySettings


class Reload(StrEnum):
    """When a change of a section takes effect."""

    RESTART = "restart"  # at the next start
    SIGHUP = "sighup"  # when the file is read again
    RUNTIME = "runtime"  # when the file is read again, or by a request


def _section(section: type[Section], reload: Reload) -> Any:
    """Declare a section. This is the only place where a section and its reload are named."""
    return Field(default_factory=section, json_schema_extra={"reload": reload.value})


class _Environment(EnvSettingsSource):
    """The environment. A list is written with commas or as JSON, an object as JSON. An empty value is not set."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Return the list or object that the text of a variable stands for.

        Raises:
            StartupError: the text has neither form.
        """
        is_list = get_origin(field.annotation) is list
        if is_list and not value.lstrip().startswith("["):
            return [item.strip() for item in value.split(",") if item.strip()]
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            name = next(name for name, text in self.env_vars.items() if text == value and name.endswith(field_name))
            form = 'a list as a,b or ["a", "b"]' if is_list else "JSON"
            if field_name in Settings.model_fields:
                form = f"JSON; its members are set by {name.upper()}__MEMBER"
            raise StartupError(f"{name.upper()} in the environment is not {form}: {error}") from None


class Settings(BaseSettings):
    """The configuration of one clusterm."""

    model_config = SettingsConfigDict(
        env_prefix="CLUSTERM_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        validate_default=True,
        frozen=True,
    )

    manager: ManagerSettings = _section(ManagerSettings, Reload.RESTART)
    store: StoreSettings = _section(StoreSettings, Reload.RESTART)
    ansible: AnsibleSettings = _section(AnsibleSettings, Reload.RUNTIME)
    actions: dict[str, ActionSettings] = Field(default={}, json_schema_extra={"reload": Reload.SIGHUP.value})
    serf: SerfSettings = _section(SerfSettings, Reload.RESTART)
    monitor: MonitorSettings = _section(MonitorSettings, Reload.RESTART)
    retention: RetentionSettings = _section(RetentionSettings, Reload.SIGHUP)
    notifications: NotificationSettings = _section(NotificationSettings, Reload.SIGHUP)
    telemetry: TelemetrySettings = _section(TelemetrySettings, Reload.RESTART)

    @model_validator(mode="after")
    def _check_actions(self) -> Self:
        for name, action in self.actions.items():
            action.check_name(name)
            for var, declared in action.vars.items():
                if self.secret_names.hide(var, declared.default):
                    raise ValueError(f"actions.{name}.vars.{var}: a secret var has no default")
            for group in action.host_groups:
                if group not in self.ansible.host_groups:
                    raise ValueError(f"actions.{name}: {group[:80]!r} is not in ansible.host_groups")
        return self

    @classmethod
    def sections(cls, *reload: Reload) -> tuple[str, ...]:
        """Return the names of the sections whose changes take effect at these times."""
        declared = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        return tuple(name for name, extra in declared.items() if isinstance(extra, dict) and extra["reload"] in reload)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- pydantic-settings calls with these names
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Give the environment precedence over the file, whose values are passed to `__init__`."""
        return _Environment(settings_cls), init_settings

    @property
    def store_url(self) -> str:
        """The database's URL."""
        return self.store.url or f"sqlite:///{self.manager.state_dir / 'clusterm.db'}"

    @property
    def probes(self) -> bool:
        """Whether clusterm itself probes its nodes."""
        return not self.serf.addr if self.monitor.probe is None else self.monitor.probe

    @property
    def secret_names(self) -> SecretNames:
        """The names of secret variables."""
        return SecretNames(self.ansible.secret_pattern, self.all_secret_vars)

    @property
    def all_secret_vars(self) -> tuple[str, ...]:
        """The names of secrets in full: those of `ansible.secret_vars`, and vars that actions declare to be secret."""
        declared = {name for each in self.actions.values() for name, var in each.vars.items() if var.secret}
        return tuple(dict.fromkeys([*self.ansible.secret_vars, *sorted(declared)]))

    def find_action(self, name: str) -> ActionSpec:
        """Return the definition of an action.

        Raises:
            NotFound: there is no such action.
        """
        configured = self.actions.get(name)
        spec = configured.spec(name) if configured else ACTIONS.get(name)
        if spec is None:
            known = ", ".join(sorted({*ACTIONS, *self.actions}))
            raise NotFound(f"there is no action {quote(name)}. Actions: {known}", ProblemCode.ACTION_NOT_FOUND)
        return spec

    @property
    def key_file(self) -> Path:
        """The file with the key that encrypts secrets in the database."""
        return self.manager.state_dir / "secret.key"

    @property
    def cipher(self) -> VariableCipher:
        """Encrypts and decrypts secrets. Settings with the same key file and the same secret names share it."""
        return _cipher(self.key_file, self.ansible.secret_pattern, self.all_secret_vars)

    @property
    def jobs_dir(self) -> Path:
        """The directory with a subdirectory for each running job."""
        return self.manager.state_dir / "jobs"


def load(source: str | None = None) -> Settings:
    """Read the configuration.

    Args:
        source: path of a JSON or TOML file; `-` for standard input; None for no file.

    Raises:
        StartupError: the file cannot be read, or a value is invalid.
    """
    try:
        return Settings(**_read(source))
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise StartupError(f"the configuration is not valid: {reasons}") from None


@lru_cache(maxsize=8)
def _cipher(key_file: Path, secret_pattern: str, secret_vars: tuple[str, ...]) -> VariableCipher:
    return VariableCipher(key_file, SecretNames(secret_pattern, secret_vars))


def _read(source: str | None) -> dict[str, Any]:
    if source is None:
        return {}
    name = "standard input" if source == "-" else source
    try:
        data = sys.stdin.buffer.read() if source == "-" else read_regular(Path(source))
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StartupError(f"cannot read the configuration from {name}: {reason}") from None
    try:
        values = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise StartupError(f"the configuration in {name} is neither JSON nor TOML: {error}") from None
    return dict(values)
