"""The globals: extra vars that every job gets, changed over REST and kept in the store."""

import logging
from typing import Any

from clusterm.errors import NotReady, SecretsUnavailable
from clusterm.secrets.encryption import VariableCipher
from clusterm.store import runtime_values
from clusterm.store.engine import Store

log = logging.getLogger(__name__)


def get(store: Store) -> dict[str, Any]:
    """Return the globals, secrets masked."""
    with store.read() as session:
        return dict(runtime_values.get(session, runtime_values.GLOBALS))


def replace(store: Store, cipher: VariableCipher, extra_vars: dict[str, Any], requester: str) -> dict[str, Any]:
    """Replace all globals, in one transaction, and return them with secrets masked.

    Args:
        store: the store.
        cipher: encrypts secrets.
        extra_vars: the new globals. A masked value keeps the present secret.
        requester: name of the requester, for the log.

    Raises:
        NotReady: secrets cannot be encrypted, or the present ones not be decrypted.
    """
    with store.write() as session:
        stored = runtime_values.get_encrypted(session, runtime_values.GLOBALS)
        try:
            masked, encrypted = cipher.encrypt(cipher.restore(extra_vars, stored, "the globals"))
        except SecretsUnavailable as lost:
            raise NotReady(str(lost)) from None
        runtime_values.put(session, runtime_values.GLOBALS, masked, encrypted)
    log.info("the globals were set by %s: %s", requester, ", ".join(sorted(masked)) or "none")
    return masked
