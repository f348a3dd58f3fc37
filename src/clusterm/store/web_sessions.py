"""Sessions of the dashboard."""

from datetime import datetime

from sqlalchemy import delete, or_, update
from sqlmodel import Session, col

from clusterm.store import tables


def add(session: Session, digest: str, token_id: int, now: datetime) -> None:
    """Store a new session."""
    session.add(tables.WebSession(digest=digest, token_id=token_id, created_at=now, seen_at=now))


def find(session: Session, digest: str) -> tables.WebSession | None:
    """Return the session with a digest, expired or not; None if there is none."""
    return session.get(tables.WebSession, digest)


def touch(session: Session, digest: str, now: datetime) -> None:
    """Store that a session is used now."""
    row = tables.WebSession
    session.execute(update(row).where(col(row.digest) == digest).values(seen_at=now))


def remove(session: Session, digest: str) -> None:
    """Delete a session, if it exists."""
    session.execute(delete(tables.WebSession).where(col(tables.WebSession.digest) == digest))


def remove_expired(session: Session, created_before: datetime, seen_before: datetime) -> None:
    """Delete the sessions that began, or were last used, before a time."""
    row = tables.WebSession
    session.execute(delete(row).where(or_(col(row.created_at) < created_before, col(row.seen_at) < seen_before)))
