"""All secrets of the database: encrypting what is in the clear, and checking that a job's can be decrypted."""

import logging
from collections.abc import Iterable

from sqlmodel import Session, select

from clusterm.errors import SecretsUnavailable
from clusterm.secrets.encryption import EncryptedVars, VariableCipher
from clusterm.store import nodes, runtime_values, tables

log = logging.getLogger(__name__)


def encrypt_all(session: Session, cipher: VariableCipher) -> bool:
    """Mask and encrypt what is secret by the names that are secret now, and tell whether anything changed.

    A database that an older version wrote has all of it in the clear, and names may have become secret since.

    Args:
        session: a writing transaction.
        cipher: encrypts.
    """
    changed, lost = False, []

    def anew(stored: EncryptedVars, whose: str) -> EncryptedVars:
        nonlocal changed
        try:
            values = cipher.decrypt(stored, whose)
            if cipher.mask(values) == stored.masked:
                return stored
            encrypted = cipher.encrypt(values)
        except SecretsUnavailable:
            lost.append(whose)
            return stored
        changed = True
        return encrypted

    for job in session.exec(select(tables.Job)):
        job.extra_vars, job.encrypted = anew(EncryptedVars(job.extra_vars, job.encrypted), f"job {job.id}")
    for node in nodes.list_all(session):
        node.inventory_vars, node.encrypted = anew(
            EncryptedVars(node.inventory_vars, node.encrypted), f"node {node.name}"
        )
    for setting in session.exec(select(tables.Setting).where(tables.Setting.name == runtime_values.GLOBALS)):
        setting.value, setting.encrypted = anew(EncryptedVars(setting.value, setting.encrypted), "the globals")
    if lost:
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        log.warning("the key is not the one that the secrets of %s%s were encrypted with", ", ".join(lost[:5]), more)
    return changed


def check_readable(session: Session, cipher: VariableCipher, names: Iterable[str]) -> None:
    """Check that the globals, and the host vars of some nodes, can be decrypted.

    Raises:
        SecretsUnavailable: they cannot.
    """
    runtime_values.decrypt_globals(session, cipher)
    for node in nodes.by_names(session, names):
        nodes.decrypt_vars(node, cipher)
