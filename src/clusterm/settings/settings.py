"""The configuration: defaults, then a JSON or TOML file, then the environment (`CLUSTERM_ANSIBLE__USER`)."""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from pydantic import (
    Field,
    ValidationError,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from clusterm.common.redaction import SecretNames
from clusterm.errors import StartupError
from clusterm.secrets.encryption import VariableCipher
from clusterm.settings.ansible import AnsibleSettings
from clusterm.settings.manager import ManagerSettings, StoreSettings
from clusterm.settings.monitoring import MonitorSettings, SerfSettings
from clusterm.settings.notifications import NotificationSettings
from clusterm.settings.retention import RetentionSettings


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
        """Give the environment precedence over the file, whose values are passed to `__init__`."""
        return env_settings, init_settings

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
        return SecretNames(self.ansible.secret_pattern, self.ansible.secret_vars)

    @property
    def key_file(self) -> Path:
        """The file with the key that encrypts secrets in the database."""
        return self.manager.state_dir / "secret.key"

    @property
    def cipher(self) -> VariableCipher:
        """The cipher for secrets in the database."""
        return VariableCipher(self.key_file, self.secret_names)

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


def _read(source: str | None) -> dict[str, Any]:
    if source is None:
        return {}
    name = "standard input" if source == "-" else source
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"cannot read the configuration from {name}: {error}") from None
    try:
        values = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise StartupError(f"the configuration in {name} is neither JSON nor TOML: {error}") from None
    return dict(values)
