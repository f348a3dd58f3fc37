"""Creates, lists and revokes tokens. Works on the database directly, also while a service is running."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from clusterm.access import tokens
from clusterm.common.files import read_regular, write_private
from clusterm.common.paths import TOKEN_FILE
from clusterm.common.timestamps import format_time
from clusterm.enums import Cause, EventName, TokenRole, TokenStatus
from clusterm.errors import Conflict, NotFound, StartupError, quote
from clusterm.problem_codes import ProblemCode
from clusterm.store import events, tables
from clusterm.store import tokens as token_queries
from clusterm.store.engine import Store
from clusterm.store.session import Session

log = logging.getLogger(__name__)

LOCAL: Final = "local"
"""Name of the token that the service creates for clusterctl on its own host."""


@dataclass(frozen=True)
class TokenInfo:
    """A token without its secret."""

    name: str
    role: TokenRole
    status: TokenStatus
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


def create(store: Store, name: str, role: TokenRole, lifetime: timedelta | None, *, by: str | None = None) -> str:
    """Create a token and return it. Only its digest is stored, so it cannot be shown again.

    Args:
        store: the store.
        name: its name.
        role: what it allows.
        lifetime: how long it is valid; None for no limit.
        by: name of the requester; None for the service itself.

    Raises:
        BadRequest: the name is not valid.
        Conflict: there is a valid token of that name.
    """
    tokens.check_name(name)
    with store.write() as session:
        present = token_queries.by_name(session, name)
        if present is not None:
            if token_queries.status_of(present) is TokenStatus.VALID:
                raise Conflict(
                    f"there is a token {name} already: revoke it first (clusterm token revoke {name})",
                    ProblemCode.TOKEN_EXISTS,
                )
            present.revoked_at = datetime.now(UTC)  # it has expired, and the name is free again
            session.flush()
        return _add(session, name, role, lifetime, by)


def revoke(store: Store, name: str, *, by: str | None = None) -> TokenInfo:
    """Revoke a token, and return it. Takes effect immediately, and closes open log streams within seconds.

    Raises:
        NotFound: there is no token of that name, or it was revoked before.
    """
    with store.write() as session:
        token = token_queries.by_name(session, name)
        if token is None:
            raise NotFound(
                f"there is no token {quote(name)} to revoke; see which there are with: clusterm token list",
                ProblemCode.TOKEN_NOT_FOUND,
            )
        token.revoked_at = datetime.now(UTC)
        _record(session, EventName.TOKEN_REVOKED, by, f"{name}, {token.role}")
        return _info(token)


def list_tokens(store: Store) -> list[TokenInfo]:
    """Return all tokens, also expired and revoked ones, the oldest first."""
    with store.read() as session:
        return [_info(token) for token in token_queries.list_all(session)]


def ensure_local_token(store: Store, state_dir: Path) -> None:
    """Ensure that the state directory has a token file, for users who may read that directory.

    A revoked token remains revoked, since an operator did that on purpose. A token whose file is missing or that the
    database does not know, such as after a restore, is replaced.

    Raises:
        StartupError: the file cannot be read or written.
    """
    file = state_dir / TOKEN_FILE
    try:
        present = read_regular(file).decode(errors="replace").strip() if file.exists() else None
        with store.write() as session:
            known = token_queries.by_digest(session, tokens.digest(present)) if present else None
            if known is None:
                if (former := token_queries.by_name(session, LOCAL)) is not None:
                    former.revoked_at = datetime.now(UTC)
                    session.flush()
                write_private(file, f"{_add(session, LOCAL, TokenRole.OPERATOR, None, None)}\n")
                log.info("made a token for clusterctl on this host, in %s", file)
            elif (status := token_queries.status_of(known)) is not TokenStatus.VALID:
                log.warning("the token in %s is %s; remove the file, and the next start makes a new one", file, status)
    except OSError as error:
        raise StartupError(f"cannot keep a token in {file}: {error.strerror}; remove it, or make it readable") from None


def _info(token: tables.Token) -> TokenInfo:
    status = token_queries.status_of(token)
    return TokenInfo(
        name=token.name,
        role=token.role,
        status=status,
        created_at=format_time(token.created_at),
        expires_at=_time(token.expires_at),
        revoked_at=_time(token.revoked_at) if status is TokenStatus.REVOKED else None,
        last_used_at=_time(token.used_at),
    )


def _record(session: Session, name: EventName, by: str | None, detail: str) -> None:
    cause = Cause.USER if by else Cause.SERVICE
    events.append(session, [events.new(None, name, cause=cause, by=by, detail=detail)])


def _add(session: Session, name: str, role: TokenRole, lifetime: timedelta | None, by: str | None) -> str:
    """Add a token; without a requester, the service creates it."""
    token, now = tokens.new_token(), datetime.now(UTC)
    expires_at = None if lifetime is None else now + lifetime
    token_queries.add(session, name, role, tokens.digest(token), now, expires_at)
    until = f", until {format_time(expires_at)}" if expires_at else ""
    _record(session, EventName.TOKEN_CREATED, by, f"{name}, {role}{until}")
    return token


def _time(moment: datetime | None) -> str | None:
    return format_time(moment) if moment else None
