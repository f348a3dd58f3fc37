"""Tokens: who has one, which are good, and when they were used."""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import select, update
from sqlmodel import Session, col

from clusterm.enums import TokenRole, TokenStatus
from clusterm.store import tables


class Known(NamedTuple):
    """What every request needs to know of its token: plain columns, for an object takes twice as long to load."""

    id: int
    name: str
    role: TokenRole
    digest: str
    expires_at: datetime | None
    revoked_at: datetime | None


_KNOWN: Final = [getattr(tables.Token, name) for name in Known._fields]


def by_digest(session: Session, digest: str) -> Known | None:
    """Return a token by what is stored of it, whether it is good or not."""
    row = session.execute(select(*_KNOWN).where(col(tables.Token.digest) == digest)).first()
    # The index compared digests, whose timing leads to no token; this comparison takes the same time for all.
    return Known(*row) if row is not None and hmac.compare_digest(row.digest, digest) else None


def by_id(session: Session, token_id: int) -> Known | None:
    """Return a token, whether it is good or not."""
    row = session.execute(select(*_KNOWN).where(col(tables.Token.id) == token_id)).first()
    return Known(*row) if row is not None else None


def by_name(session: Session, name: str) -> tables.Token | None:
    """Return the token of a name that was not revoked."""
    wanted = select(tables.Token).where(col(tables.Token.name) == name, col(tables.Token.revoked_at).is_(None))
    return session.scalars(wanted).first()


def list_all(session: Session) -> list[tables.Token]:
    """Return all tokens there were, the oldest first."""
    return list(session.scalars(select(tables.Token).order_by(col(tables.Token.id))))


def add(
    session: Session, name: str, role: TokenRole, digest: str, created_at: datetime, expires_at: datetime | None
) -> None:
    """Keep a new token."""
    session.add(tables.Token(name=name, role=role, digest=digest, created_at=created_at, expires_at=expires_at))


def status_of(token: tables.Token | Known) -> TokenStatus:
    """Tell whether a token is still good."""
    if token.revoked_at is not None:
        return TokenStatus.REVOKED
    has_expired = token.expires_at is not None and token.expires_at <= datetime.now(UTC)
    return TokenStatus.EXPIRED if has_expired else TokenStatus.VALID


def record_uses(session: Session, uses: Mapping[int, datetime]) -> None:
    """Keep when tokens, by their ids, were last used."""
    for token_id, at in uses.items():
        session.execute(update(tables.Token).where(col(tables.Token.id) == token_id).values(used_at=at))
