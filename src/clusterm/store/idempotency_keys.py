"""Idempotency keys, after draft-ietf-httpapi-idempotency-key-header."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import delete
from sqlmodel import Session, col

from clusterm.store import tables

KEPT: Final = timedelta(days=1)


def get(session: Session, key: str) -> tables.IdempotencyKey | None:
    """Return what came with a key, if it came before."""
    return session.get(tables.IdempotencyKey, key)


def remember(session: Session, key: str, request: str, job_id: int) -> None:
    """Keep a key, and forget those whose day is over."""
    now = datetime.now(UTC)
    session.execute(delete(tables.IdempotencyKey).where(col(tables.IdempotencyKey.at) < now - KEPT))
    session.add(tables.IdempotencyKey(key=key, request=request, job_id=job_id, at=now))
