"""The globals: extra vars that every job gets, changed over REST and kept in the store."""

import logging
from typing import Any

from clusterm.errors import EncryptionUnavailable, SecretsUnavailable
from clusterm.schemas.request_vars import check_request_vars
from clusterm.settings import Settings
from clusterm.store import runtime_values
from clusterm.store.engine import Store

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
        requester: name of the requester, for the log.

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
    log.info("the globals were set by %s: %s", requester, ", ".join(sorted(masked)) or "none")
    return masked
