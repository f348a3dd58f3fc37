"""Making and revoking tokens. All of it works on the database alone, beside a service that may be running."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from clusterm.access import tokens
from clusterm.common.files import write_private
from clusterm.common.paths import TOKEN_FILE
from clusterm.enums import TokenRole, TokenStatus
from clusterm.errors import Conflict, NotFound, StartupError, quote
from clusterm.schemas import format_time
from clusterm.store import tokens as token_queries
from clusterm.store.engine import Store
from clusterm.store.session import Session

log = logging.getLogger(__name__)

LOCAL: Final = "local"
"""The name of the token that the service makes for those on its own host."""


@dataclass(frozen=True)
class TokenInfo:
    """What is shown of a token."""

    name: str
    role: TokenRole
    status: TokenStatus
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


def create(store: Store, name: str, role: TokenRole, lifetime: timedelta | None) -> str:
    """Make a token, and return it: nobody can see it again.

    Raises:
        BadRequest: the name cannot be one.
        Conflict: there is a valid token of that name.
    """
    tokens.check_name(name)
    with store.write() as session:
        present = token_queries.by_name(session, name)
        if present is not None:
            if token_queries.status_of(present) is TokenStatus.VALID:
                raise Conflict(f"there is a token {name} already: revoke it first (clusterm token revoke {name})")
            present.revoked_at = datetime.now(UTC)  # it has expired, and the name is free again
            session.flush()
        return _add(session, name, role, lifetime)


def revoke(store: Store, name: str) -> None:
    """Let a token let nobody in any more.

    Raises:
        NotFound: there is none of that name, or it was revoked before.
    """
    with store.write() as session:
        token = token_queries.by_name(session, name)
        if token is None:
            raise NotFound(f"there is no token {quote(name)} to revoke; see which there are with: clusterm token list")
        token.revoked_at = datetime.now(UTC)


def list_tokens(store: Store) -> list[TokenInfo]:
    """Return all tokens there ever were, the oldest first."""
    with store.read() as session:
        return [
            TokenInfo(
                name=token.name,
                role=token.role,
                status=token_queries.status_of(token),
                created_at=format_time(token.created_at),
                expires_at=_time(token.expires_at),
                revoked_at=_time(token.revoked_at),
                last_used_at=_time(token.used_at),
            )
            for token in token_queries.list_all(session)
        ]


def ensure_local_token(store: Store, state_dir: Path) -> None:
    """See to it that whoever may read the state directory finds a token there.

    One that was revoked stays so: somebody wanted that. A file that is gone, or that the database knows nothing of, as
    after a restore, is made anew.

    Raises:
        StartupError: the file can be neither read nor written.
    """
    file = state_dir / TOKEN_FILE
    try:
        present = file.read_text(errors="replace").strip() if file.exists() else None
        with store.write() as session:
            known = token_queries.by_digest(session, tokens.digest(present)) if present else None
            if known is None:
                if (former := token_queries.by_name(session, LOCAL)) is not None:
                    former.revoked_at = datetime.now(UTC)
                    session.flush()
                write_private(file, f"{_add(session, LOCAL, TokenRole.OPERATOR, None)}\n")
                log.info("made a token for clusterctl on this host, in %s", file)
            elif (status := token_queries.status_of(known)) is not TokenStatus.VALID:
                log.warning("the token in %s is %s; remove the file, and the next start makes a new one", file, status)
    except OSError as error:
        raise StartupError(f"cannot keep a token in {file}: {error.strerror}; remove it, or make it readable") from None


def _add(session: Session, name: str, role: TokenRole, lifetime: timedelta | None) -> str:
    token, now = tokens.new_token(), datetime.now(UTC)
    token_queries.add(session, name, role, tokens.digest(token), now, None if lifetime is None else now + lifetime)
    return token


def _time(moment: datetime | None) -> str | None:
    return format_time(moment) if moment else None
