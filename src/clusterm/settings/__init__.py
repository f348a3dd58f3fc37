"""The configuration: defaults, then a JSON or TOML file, then the environment (`CLUSTERM_ANSIBLE__USER`).

What reads them is loaded when it is used: the executor needs single sections only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clusterm.settings.actions import ActionSettings, definitions
from clusterm.settings.ansible import AnsibleSettings
from clusterm.settings.base import KIB, MIB, UNIX_PREFIX, model_of, prefix_of, split_address, unix_path
from clusterm.settings.manager import ManagerSettings, StoreSettings
from clusterm.settings.monitoring import MonitorSettings, SerfSettings
from clusterm.settings.notifications import NotificationSettings, Webhook
from clusterm.settings.retention import RetentionSettings
from clusterm.settings.telemetry import TelemetrySettings

if TYPE_CHECKING:
    from clusterm.settings.settings import Reload, Settings, load
else:

    def __getattr__(name: str) -> Any:
        if name not in {"Reload", "Settings", "load"}:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.settings"), name)
        globals()[name] = value
        return value


__all__ = [
    "KIB",
    "MIB",
    "UNIX_PREFIX",
    "ActionSettings",
    "AnsibleSettings",
    "ManagerSettings",
    "MonitorSettings",
    "NotificationSettings",
    "Reload",
    "RetentionSettings",
    "SerfSettings",
    "Settings",
    "StoreSettings",
    "TelemetrySettings",
    "Webhook",
    "definitions",
    "load",
    "model_of",
    "prefix_of",
    "split_address",
    "unix_path",
]
