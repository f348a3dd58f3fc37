"""All secrets of the database: encrypting what is in the clear, and checking that a job's can be decrypted."""

import logging
from collections.abc import Iterable

from sqlmodel import Session, select

from clusterm.errors import SecretsLost
from clusterm.secrets.encryption import Seal, Sealed
from clusterm.store import nodes, runtime_values, tables

log = logging.getLogger(__name__)


def seal_all(session: Session, seal: Seal) -> bool:
    """Mask and encrypt what is secret by the names that are secret now, and tell whether anything changed.

    A database that an older version wrote has all of it in the clear, and names may have become secret since.

    Args:
        session: a writing transaction.
        seal: encrypts.
    """
    changed, lost = False, []

    def anew(stored: Sealed, whose: str) -> Sealed:
        nonlocal changed
        try:
            values = seal.open(stored, whose)
            if seal.show(values) == stored.shown:
                return stored
            sealed = seal.close(values)
        except SecretsLost:
            lost.append(whose)
            return stored
        changed = True
        return sealed

    for job in session.exec(select(tables.Job)):
        job.extra_vars, job.sealed = anew(Sealed(job.extra_vars, job.sealed), f"job {job.id}")
    for node in nodes.every(session):
        node.inventory_vars, node.sealed = anew(Sealed(node.inventory_vars, node.sealed), f"node {node.name}")
    for setting in session.exec(select(tables.Setting).where(tables.Setting.name == runtime_values.GLOBALS)):
        setting.value, setting.sealed = anew(Sealed(setting.value, setting.sealed), "the globals")
    if lost:
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        log.warning("the key is not the one that the secrets of %s%s were encrypted with", ", ".join(lost[:5]), more)
    return changed


def check_readable(session: Session, seal: Seal, names: Iterable[str]) -> None:
    """Check that the globals, and the host vars of some nodes, can be decrypted.

    Raises:
        SecretsLost: they cannot.
    """
    runtime_values.open_globals(session, seal)
    for node in nodes.named(session, names):
        nodes.open_vars(node, seal)
