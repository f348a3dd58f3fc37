"""Values that are set at run time and kept across restarts, each under a name."""

from typing import Any, Final

from sqlmodel import Session

from clusterm.secrets.encryption import EncryptedVars, VariableCipher
from clusterm.store import tables

GLOBALS: Final = "globals"
"""The global extra vars."""

CONFIG: Final = "config"
"""The settings that were changed over REST."""

SERF: Final = "serf"
"""The names of the nodes that Serf has reported, to notice nodes that disappear while no service runs."""

SETTINGS: Final = "settings"
"""The settings that are in effect, secrets masked, to notice what an edit of the configuration file has changed."""

DRAIN: Final = "drain"
"""Set while the service is drained."""

HOST_KEYS: Final = "host_keys"
"""The host keys of addresses without a node, as discover jobs have seen them."""

TOTALS: Final = "totals"
"""The counters of ended jobs."""

WEBHOOKS: Final = "webhooks"
"""The kinds of notification that each webhook subscribes to, by the name of the webhook."""

NOTIFIED: Final = "notified"
"""The numbers of sent and dropped messages, by the name of the webhook."""

TELEMETRY: Final = "telemetry"
"""How far traces of jobs are exported, and how many were exported and dropped."""


def get(session: Session, name: str) -> dict[str, Any]:
    """Return the value of a name, with masked secrets; an empty object if it is not set."""
    setting = session.get(tables.Setting, name)
    return dict(setting.value) if setting else {}


def put(session: Session, name: str, value: dict[str, Any], encrypted: str | None = None) -> None:
    """Set the value of a name.

    Args:
        session: a writing transaction.
        name: the name.
        value: the value, with masked secrets.
        encrypted: the value with its secrets, encrypted; None if it has no secrets.
    """
    session.merge(tables.Setting(name=name, value=value, encrypted=encrypted))


def get_encrypted(session: Session, name: str) -> EncryptedVars:
    """Return the value of a name in the form in which it is stored."""
    setting = session.get(tables.Setting, name)
    return EncryptedVars(dict(setting.value), setting.encrypted) if setting else EncryptedVars({}, None)


def decrypt_globals(session: Session, cipher: VariableCipher) -> dict[str, Any]:
    """Return the globals with their secrets.

    Raises:
        SecretsUnavailable: the globals cannot be decrypted.
    """
    return cipher.decrypt(get_encrypted(session, GLOBALS), "the globals")
