"""Idempotency keys, according to draft-ietf-httpapi-idempotency-key-header."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import delete
from sqlmodel import Session, col

from clusterm.store import tables

KEPT: Final = timedelta(days=1)
"""How long a key is stored."""

_KEPT_JOBS: Final = 1000
"""The keys of so many jobs before the latest one are stored longer, since the clock may have been set forward."""


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
    known = tables.IdempotencyKey
    session.execute(delete(known).where(col(known.at) < now - KEPT, col(known.job_id) < job_id - _KEPT_JOBS))
    session.add(tables.IdempotencyKey(key=key, request=request, job_id=job_id, at=now))
