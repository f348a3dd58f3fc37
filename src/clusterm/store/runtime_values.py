"""What was set at run time and is kept across restarts."""

from typing import Any, Final

from sqlmodel import Session

from clusterm.secrets.encryption import EncryptedVars, VariableCipher
from clusterm.store import tables

GLOBALS: Final = "globals"
"""The name of the global extra vars."""

CONFIG: Final = "config"
"""The name of the configuration set over REST."""

SERF: Final = "serf"
"""The names of the nodes that Serf has told of, so that one that vanishes while no service runs is missed."""

DRAIN: Final = "drain"
"""The name under which it stands that no new jobs are taken; nothing set means that they are."""

HOST_KEYS: Final = "host_keys"
"""The host keys of addresses that are no node's yet, as discover jobs have seen them."""

TOTALS: Final = "totals"
"""The name of what has been counted of ended jobs."""

WEBHOOKS: Final = "webhooks"
"""The names of the webhooks, and what each is to be told of."""

NOTIFIED: Final = "notified"
"""By webhook, how many messages were sent, and how many were given up."""


def get(session: Session, name: str) -> dict[str, Any]:
    """Return what was set under a name; nothing set is an empty object."""
    setting = session.get(tables.Setting, name)
    return dict(setting.value) if setting else {}


def put(session: Session, name: str, value: dict[str, Any], encrypted: str | None = None) -> None:
    """Replace what is set under a name.

    Args:
        session: a writing transaction.
        name: the name.
        value: what is set, without secrets.
        encrypted: the same with its secrets, encrypted; None where it has none.
    """
    session.merge(tables.Setting(name=name, value=value, encrypted=encrypted))


def get_encrypted(session: Session, name: str) -> EncryptedVars:
    """Return what was set under a name, as it is stored."""
    setting = session.get(tables.Setting, name)
    return EncryptedVars(dict(setting.value), setting.encrypted) if setting else EncryptedVars({}, None)


def decrypt_globals(session: Session, cipher: VariableCipher) -> dict[str, Any]:
    """Return the globals as they were given.

    Raises:
        SecretsUnavailable: they cannot be decrypted.
    """
    return cipher.decrypt(get_encrypted(session, GLOBALS), "the globals")
