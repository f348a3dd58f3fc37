"""Secrets in the database: encrypts those in plain text, and decrypts the variables for a job."""

import json
import logging
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from sqlmodel import Session, col, select

from clusterm.enums import EventName
from clusterm.errors import SecretsUnavailable
from clusterm.secrets.encryption import EncryptedVars, VariableCipher
from clusterm.store import events, nodes, runtime_values, tables

log = logging.getLogger(__name__)

_WITH_VARS: Final = (EventName.CHANGED, EventName.GLOBALS_CHANGED, EventName.CONFIGURED)
"""Events whose changes contain variables."""

_EXTRA_VARIABLES: Final = "ansible.extra_variables"
"""The setting that contains variables, in the changes of an event."""


def encrypt_all(session: Session, cipher: VariableCipher) -> bool:
    """Mask and encrypt all variables whose names are secret now.

    Variables can be in plain text if an older version stored them, or if their names were not secret at that time.

    Args:
        session: a writing transaction.
        cipher: the cipher, which also decides what is secret.

    Returns:
        Whether anything has changed.
    """
    changed, lost = False, []

    def updated(stored: EncryptedVars, whose: str, secret_vars: Collection[str] = ()) -> EncryptedVars:
        nonlocal changed
        try:
            values = cipher.decrypt(stored, whose)
            if cipher.mask(values, secret_vars) == stored.masked:
                return stored
            encrypted = cipher.encrypt(values, secret_vars)
        except SecretsUnavailable:
            lost.append(whose)
            return stored
        changed = True
        return encrypted

    for job in session.exec(select(tables.Job)):
        job.extra_vars, job.encrypted = updated(EncryptedVars(job.extra_vars, job.encrypted), f"job {job.id}")
    for node in nodes.list_all(session):
        node.inventory_vars, node.encrypted = updated(
            EncryptedVars(node.inventory_vars, node.encrypted), f"node {node.name}", node.secret_vars
        )
    for setting in session.exec(select(tables.Setting).where(tables.Setting.name == runtime_values.GLOBALS)):
        setting.value, setting.encrypted = updated(EncryptedVars(setting.value, setting.encrypted), "the globals")
    if lost:
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        log.warning("the key is not the one that the secrets of %s%s were encrypted with", ", ".join(lost[:5]), more)
    return changed


def mask_events(session: Session, cipher: VariableCipher) -> None:
    """Mask the variables in events whose names have become secret."""
    for event in session.exec(select(tables.Event).where(col(tables.Event.event).in_(_WITH_VARS))):
        masked = {name: [_mask_change(cipher, name, each) for each in values] for name, values in event.changes.items()}
        if masked != event.changes:
            event.changes, event.detail = masked, events.describe_changes(masked)


def _mask_change(cipher: VariableCipher, name: str, value: Any) -> Any:
    """Return a value in the changes of an event, masked if it is secret now."""
    if value is None:
        return None
    if name == _EXTRA_VARIABLES:
        return json.dumps(cipher.mask(json.loads(value)))
    variable = name.removeprefix("vars.")
    return value if variable == name else cipher.mask({variable: value})[variable]


def undecipherable(session: Session, cipher: VariableCipher) -> Iterator[str]:
    """Yield each reason why secrets cannot be decrypted.

    Args:
        session: any transaction.
        cipher: the cipher.
    """
    settings = session.exec(select(tables.Setting)).all()
    stored = [
        *((EncryptedVars(each.value, each.encrypted), f"setting {each.name}") for each in settings),
        *(
            (EncryptedVars(node.inventory_vars, node.encrypted), f"node {node.name}")
            for node in nodes.list_all(session)
        ),
        *((EncryptedVars(job.extra_vars, job.encrypted), f"job {job.id}") for job in session.exec(select(tables.Job))),
    ]
    said = set()
    for values, whose in stored:
        try:
            cipher.decrypt(values, whose)
        except SecretsUnavailable as error:
            if str(error) not in said:  # without a key, it is the same for all
                yield str(error)
            said.add(str(error))


def decrypt_all(
    session: Session, cipher: VariableCipher, names: Iterable[str] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the globals and the host vars of nodes with their secrets, each after the name of their owner.

    Args:
        session: any transaction.
        cipher: the cipher.
        names: the names of the nodes; None for all nodes.

    Raises:
        SecretsUnavailable: some of them cannot be decrypted.
    """
    yield "the globals", runtime_values.decrypt_globals(session, cipher)
    for node in nodes.list_all(session) if names is None else nodes.by_names(session, names):
        yield f"node {node.name}", nodes.decrypt_vars(node, cipher)
