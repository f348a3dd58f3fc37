"""The globals: extra vars that every job gets, changed over REST and kept in the store."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from clusterm.enums import Cause, EventName
from clusterm.errors import EncryptionUnavailable, SecretsUnavailable
from clusterm.schemas.request_vars import check_request_vars
from clusterm.secrets.encryption import EncryptedVars, VariableCipher
from clusterm.store import events, runtime_values
from clusterm.store.engine import Store

if TYPE_CHECKING:
    from clusterm.settings import Settings

log = logging.getLogger(__name__)


def get(store: Store) -> dict[str, Any]:
    """Return the globals, secrets masked."""
    with store.read() as session:
        return dict(runtime_values.get(session, runtime_values.GLOBALS))


def replace(store: Store, settings: Settings, extra_vars: dict[str, Any], requester: str) -> dict[str, Any]:
    """Replace all globals, in one transaction, and return them with secrets masked.

    Args:
        store: the store.
        settings: the current configuration.
        extra_vars: the new globals. A masked value keeps the present secret.
        requester: name of the requester.

    Raises:
        VariablesRefused: requests may not set some of the variables.
        EncryptionUnavailable: secrets cannot be encrypted, or the present ones not be decrypted.
    """
    cipher = settings.cipher
    with store.write() as session:
        stored = runtime_values.get_encrypted(session, runtime_values.GLOBALS)
        try:
            restored = cipher.restore(extra_vars, stored, "the globals")
            check_request_vars(restored, settings.ansible.request_vars_allowed, "the globals")
            masked, encrypted = cipher.encrypt(restored)
        except SecretsUnavailable as lost:
            raise EncryptionUnavailable(str(lost)) from None
        runtime_values.put(session, runtime_values.GLOBALS, masked, encrypted)
        if changes := _changes(stored, restored, masked, cipher):
            detail = events.describe_changes(changes)
            name, cause = EventName.GLOBALS_CHANGED, Cause.USER
            events.append(session, [events.new(None, name, cause=cause, by=requester, changes=changes, detail=detail)])
    log.info("the globals were set by %s: %s", requester, ", ".join(sorted(masked)) or "none")
    return masked


def _changes(
    stored: EncryptedVars, given: dict[str, Any], masked: dict[str, Any], cipher: VariableCipher
) -> dict[str, list[Any]]:
    """Return what a change of the globals changes, each with its old and new value, secrets masked."""
    try:
        former = cipher.decrypt(stored, "the globals")
    except SecretsUnavailable:  # they are replaced because their key is lost
        former = stored.masked
    names = sorted(name for name in former.keys() | given.keys() if former.get(name) != given.get(name))
    return {f"vars.{name}": [stored.masked.get(name), masked.get(name)] for name in names}
