"""The configuration: defaults, then a JSON or TOML file, then the environment (`CLUSTERM_ANSIBLE__USER`)."""

from clusterm.settings.actions import ActionSettings, definitions
from clusterm.settings.ansible import AnsibleSettings
from clusterm.settings.base import KIB, MIB, UNIX_PREFIX, model_of, prefix_of, split_address, unix_path
from clusterm.settings.manager import ManagerSettings, StoreSettings
from clusterm.settings.monitoring import MonitorSettings, SerfSettings
from clusterm.settings.notifications import NotificationSettings, Webhook
from clusterm.settings.retention import RetentionSettings
from clusterm.settings.settings import Reload, Settings, load
from clusterm.settings.telemetry import TelemetrySettings

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
