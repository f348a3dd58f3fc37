"""Idempotency keys, according to draft-ietf-httpapi-idempotency-key-header."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import delete
from sqlmodel import Session, col

from clusterm.store import tables

KEPT: Final = timedelta(days=1)
"""How long a key is stored."""


def get(session: Session, key: str) -> tables.IdempotencyKey | None:
    """Return the record of a key, None if the key is new."""
    return session.get(tables.IdempotencyKey, key)


def remember(session: Session, key: str, request: str, job_id: int) -> None:
    """Store a key, and delete expired ones.

    Args:
        session: a writing transaction.
        key: the key.
        request: the digest of the request.
        job_id: the job that the request began or stopped.
    """
    now = datetime.now(UTC)
    session.execute(delete(tables.IdempotencyKey).where(col(tables.IdempotencyKey.at) < now - KEPT))
    session.add(tables.IdempotencyKey(key=key, request=request, job_id=job_id, at=now))
