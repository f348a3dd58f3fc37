"""Sessions of the dashboard: sign-in with a token or a one-time link, expiry, sign-out, and the limit of attempts."""

import secrets
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from clusterm.access import tokens
from clusterm.access.authenticator import Authenticator
from clusterm.access.principal import Principal
from clusterm.access.rate_limit import TokenBucket
from clusterm.enums import TokenRole
from clusterm.errors import TooManyRequests, Unauthorized
from clusterm.problem_codes import ProblemCode
from clusterm.store import web_sessions as queries
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError

LIFETIME: Final = timedelta(hours=12)
"""Time after which a session ends, however much it is used."""

IDLE_LIFETIME: Final = timedelta(hours=1)
"""Time after which a session ends that is not used."""

LINK_LIFETIME: Final = timedelta(minutes=1)
"""Time for which a one-time link is valid."""

_TOUCH_INTERVAL: Final = timedelta(minutes=1)
_ATTEMPTS_PER_MINUTE: Final = 10
_MAX_CLIENTS: Final = 1000
_MAX_LINKS: Final = 100
_BYTES: Final = 32


@dataclass(frozen=True)
class _Link:
    token_id: int
    valid_until: float  # monotonic


class WebSessions:
    """Opens, finds and ends sessions of the dashboard. A session has no rights of its own, only those of its token.

    The database has only the digests of sessions. One-time links are in memory, and end with the service.

    Args:
        store: the store.
        authenticator: checks the tokens.
    """

    def __init__(self, store: Store, authenticator: Authenticator) -> None:
        self._store = store
        self._authenticator = authenticator
        self._lock = threading.Lock()
        self._attempts: OrderedDict[str, TokenBucket] = OrderedDict()  # by the address of the client
        self._links: OrderedDict[str, _Link] = OrderedDict()  # by digest

    def sign_in(self, token: str, client: str) -> str:
        """Open a session with a token, and return the value of its cookie.

        Args:
            token: the token, as a user has typed it.
            client: address of the client.

        Raises:
            TooManyRequests: the client has tried too often.
            Unauthorized: the token is unknown, expired or revoked.
        """
        self._count_attempt(client)
        return self._open(self._authenticator.authenticate(token, TokenRole.VIEWER).token_id)

    def create_link(self, principal: Principal) -> str:
        """Return the code of a link that opens a session for a principal, once."""
        code = secrets.token_urlsafe(_BYTES)
        with self._lock:
            self._links[tokens.digest(code)] = _Link(
                principal.token_id, time.monotonic() + LINK_LIFETIME.total_seconds()
            )
            while len(self._links) > _MAX_LINKS:
                self._links.popitem(last=False)
        return code

    def follow_link(self, code: str, client: str) -> str:
        """Open a session with the code of a link, which is used up then, and return the value of its cookie.

        Raises:
            TooManyRequests: the client has tried too often.
            Unauthorized: the link is unknown, used or too old, or its token is no longer valid.
        """
        self._count_attempt(client)
        with self._lock:
            link = self._links.pop(tokens.digest(code), None)
        if link is None or link.valid_until < time.monotonic():
            raise Unauthorized(
                "the link was used or is older than a minute: run clusterctl ui again", ProblemCode.TOKEN_INVALID
            )
        return self._open(self._authenticator.authenticate_session(link.token_id, TokenRole.VIEWER).token_id)

    def principal(self, cookie: str, needed: TokenRole) -> Principal:
        """Return the principal of a session.

        Args:
            cookie: the value of the cookie; empty without one.
            needed: the role that the request needs.

        Raises:
            Unauthorized: the session is unknown or has ended, or its token is no longer valid.
            Forbidden: the role of its token does not suffice.
            TooManyRequests: its token exceeds its rate limit.
        """
        digest, now = tokens.digest(cookie), datetime.now(UTC)
        with self._store.read() as session:
            found = queries.find(session, digest) if cookie else None
            if found is None or now - found.created_at >= LIFETIME or now - found.seen_at >= IDLE_LIFETIME:
                raise Unauthorized("sign in first", ProblemCode.TOKEN_REQUIRED)
            token_id, seen_at = found.token_id, found.seen_at
        principal = self._authenticator.authenticate_session(token_id, needed)
        if abs(now - seen_at) >= _TOUCH_INTERVAL:
            with suppress(StoreError), self._store.write() as session:  # pages are readable while the disk is full
                queries.touch(session, digest, now)
        return principal

    def sign_out(self, cookie: str) -> None:
        """End a session, if it exists."""
        with self._store.write() as session:
            queries.remove(session, tokens.digest(cookie))

    def _open(self, token_id: int) -> str:
        cookie, now = secrets.token_urlsafe(_BYTES), datetime.now(UTC)
        with self._store.write() as session:
            queries.remove_expired(session, now - LIFETIME, now - IDLE_LIFETIME)
            queries.add(session, tokens.digest(cookie), token_id, now)
        return cookie

    def _count_attempt(self, client: str) -> None:
        """Count an attempt to sign in.

        Raises:
            TooManyRequests: the client has tried too often.
        """
        now = time.monotonic()
        with self._lock:
            bucket = self._attempts.setdefault(client, TokenBucket(_ATTEMPTS_PER_MINUTE, now))
            self._attempts.move_to_end(client)
            if len(self._attempts) > _MAX_CLIENTS:
                self._attempts.popitem(last=False)
            wait = bucket.take(now)
        if wait:
            raise TooManyRequests("too many attempts to sign in: wait a little", ProblemCode.RATE_LIMITED, wait)
