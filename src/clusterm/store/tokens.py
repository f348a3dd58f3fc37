"""Access tokens: their owners, validity and last use."""

import hmac
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import select, update
from sqlmodel import Session, col

from clusterm.enums import TokenRole, TokenStatus
from clusterm.store import tables


class Known(NamedTuple):
    """The columns of a token that every request needs. Loading a complete object would take twice as long."""

    id: int
    name: str
    role: TokenRole
    digest: str
    expires_at: datetime | None
    revoked_at: datetime | None


_KNOWN: Final = [getattr(tables.Token, name) for name in Known._fields]


def by_digest(session: Session, digest: str) -> Known | None:
    """Return the token with a digest, valid or not; None if there is none."""
    row = session.execute(select(*_KNOWN).where(col(tables.Token.digest) == digest)).first()
    # The timing of the index lookup depends only on digests, which reveal no token. This comparison is constant-time.
    return Known(*row) if row is not None and hmac.compare_digest(row.digest, digest) else None


def by_id(session: Session, token_id: int) -> Known | None:
    """Return the token with an id, valid or not; None if there is none."""
    row = session.execute(select(*_KNOWN).where(col(tables.Token.id) == token_id)).first()
    return Known(*row) if row is not None else None


def by_name(session: Session, name: str) -> tables.Token | None:
    """Return the token with a name that is not revoked, None if there is none."""
    wanted = select(tables.Token).where(col(tables.Token.name) == name, col(tables.Token.revoked_at).is_(None))
    return session.scalars(wanted).first()


def list_all(session: Session) -> list[tables.Token]:
    """Return all tokens, also revoked and expired ones, the oldest first."""
    return list(session.scalars(select(tables.Token).order_by(col(tables.Token.id))))


def add(
    session: Session, name: str, role: TokenRole, digest: str, created_at: datetime, expires_at: datetime | None
) -> None:
    """Store a new token."""
    session.add(tables.Token(name=name, role=role, digest=digest, created_at=created_at, expires_at=expires_at))


def status_of(token: tables.Token | Known) -> TokenStatus:
    """Return whether a token is valid, expired or revoked. A token that was revoked after it expired is expired."""
    ended_at = token.revoked_at or datetime.now(UTC)
    if token.expires_at is not None and token.expires_at <= ended_at:
        return TokenStatus.EXPIRED
    return TokenStatus.VALID if token.revoked_at is None else TokenStatus.REVOKED


def newly_expired(session: Session, now: datetime) -> Sequence[int]:
    """Return the ids of tokens that have expired and are not revoked."""
    expired = col(tables.Token.expires_at) <= now
    return session.scalars(select(col(tables.Token.id)).where(expired, col(tables.Token.revoked_at).is_(None))).all()


def end(session: Session, token_ids: Collection[int], now: datetime) -> None:
    """Revoke tokens that have expired, so that they stay expired even if the clock goes back."""
    session.execute(update(tables.Token).where(col(tables.Token.id).in_(token_ids)).values(revoked_at=now))


def record_uses(session: Session, uses: Mapping[int, datetime]) -> None:
    """Store when tokens, by their ids, were last used."""
    for token_id, at in uses.items():
        session.execute(update(tables.Token).where(col(tables.Token.id) == token_id).values(used_at=at))
