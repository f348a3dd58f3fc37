"""Authenticates requests, checks roles and enforces rate limits."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from clusterm.access import tokens
from clusterm.access.principal import Principal
from clusterm.access.rate_limit import TokenBucket
from clusterm.access.usage import UsageRecorder
from clusterm.enums import Auth, TokenRole, TokenStatus
from clusterm.errors import Forbidden, TooManyRequests, Unauthorized
from clusterm.problem_codes import ProblemCode
from clusterm.settings import ManagerSettings
from clusterm.store import tokens as token_queries
from clusterm.store.engine import Store

RECHECK_INTERVAL_S: Final = 2.0
"""Seconds for which a token is taken to be still valid, for open streams."""

_STREAM_RETRY_AFTER_S: Final = 5
"""Seconds after which a client may retry a stream that exceeded the limit."""


class Authenticator:
    """Authenticates requests by their tokens.

    Args:
        store: the store of the tokens.
        settings: returns the present authentication mode and limits.

    Attributes:
        usage: records uses of tokens and rejected requests.
    """

    def __init__(self, store: Store, settings: Callable[[], ManagerSettings]) -> None:
        self.usage = UsageRecorder(store)
        self._store = store
        self._settings = settings
        self._lock = threading.Lock()
        self._buckets: dict[int, TokenBucket] = {}  # by token, as the two below
        self._streams: Counter[int] = Counter()
        self._valid_at: dict[int, float] = {}  # monotonic time

    @property
    def is_required(self) -> bool:
        """Whether requests need a token."""
        return self._settings().auth is Auth.TOKEN

    def authenticate(self, token: str | None, needed: TokenRole) -> Principal:
        """Return the principal of a token.

        Args:
            token: the token of the request; None if it has none.
            needed: the role that the request needs.

        Raises:
            Unauthorized: the token is missing, unknown, expired or revoked.
            Forbidden: its role does not suffice.
            TooManyRequests: it exceeds its rate limit.
        """
        if token is None:
            raise Unauthorized("this needs a token, sent as: Authorization: Bearer TOKEN", ProblemCode.TOKEN_REQUIRED)
        with self._store.read() as session:
            principal = self._valid(token_queries.by_digest(session, tokens.digest(token)))
        return self._authorize(principal, needed)

    def _authorize(self, principal: Principal, needed: TokenRole) -> Principal:
        if not principal.may(needed):
            raise Forbidden(f"this needs the role {needed}; the token {principal.name} has the role {principal.role}")
        self._enforce_rate_limit(principal)
        return principal

    def authenticate_session(self, token_id: int, needed: TokenRole) -> Principal:
        """Return the principal of a session of the dashboard, by the token with which it was opened.

        Raises:
            Unauthorized: the token is expired or revoked.
            Forbidden: its role does not suffice.
            TooManyRequests: it exceeds its rate limit.
        """
        with self._store.read() as session:
            principal = self._valid(token_queries.by_id(session, token_id))
        return self._authorize(principal, needed)

    def is_recently_valid(self, principal: Principal) -> bool:
        """Return whether a token was valid a moment ago, without a query."""
        return time.monotonic() - self._valid_at.get(principal.token_id, -RECHECK_INTERVAL_S) < RECHECK_INTERVAL_S

    def is_still_valid(self, principal: Principal) -> bool:
        """Return whether a token that was valid still is."""
        if self.is_recently_valid(principal):
            return True
        with self._store.read() as session:
            token = token_queries.by_id(session, principal.token_id)
        if token is None or token_queries.status_of(token) is not TokenStatus.VALID:
            return False
        self._valid_at[principal.token_id] = time.monotonic()
        return True

    @contextmanager
    def stream(self, principal: Principal | None) -> Iterator[None]:
        """Count an open stream of a token until the stream ends. Without authentication there is no limit.

        Raises:
            TooManyRequests: the token has as many streams open as it may.
        """
        if principal is None:
            yield
            return
        limit = self._settings().max_streams
        if self._streams[principal.token_id] >= limit:
            raise TooManyRequests(
                f"the token {principal.name} has {limit} streams open, which is as many as manager.max_streams allows",
                ProblemCode.TOO_MANY_STREAMS,
                _STREAM_RETRY_AFTER_S,
            )
        self._streams[principal.token_id] += 1
        try:
            yield
        finally:
            self._streams[principal.token_id] -= 1

    def _valid(self, found: token_queries.Known | None) -> Principal:
        """Return the principal of a token that was found and is valid.

        Raises:
            Unauthorized: it was not found, or is not valid.
        """
        if found is None:
            raise Unauthorized("this token is not known here", ProblemCode.TOKEN_INVALID)
        if (status := token_queries.status_of(found)) is not TokenStatus.VALID:
            raise Unauthorized(f"the token {found.name} is {status}", ProblemCode.TOKEN_INVALID)
        self.usage.record_use(found.id)
        return Principal(found.id, found.name, found.role)

    def _enforce_rate_limit(self, principal: Principal) -> None:
        """Count a request of a token.

        Raises:
            TooManyRequests: the token exceeds its limit.
        """
        limit = self._settings().requests_per_minute
        if not limit:
            return
        with self._lock:
            now = time.monotonic()
            wait = self._buckets.setdefault(principal.token_id, TokenBucket(limit, now)).take(now)
        if wait:
            raise TooManyRequests(
                f"the token {principal.name} asks more often than manager.requests_per_minute allows, {limit}",
                ProblemCode.RATE_LIMITED,
                wait,
            )
