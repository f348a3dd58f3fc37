"""Lets requests in: whose token is good, whether its role is enough, and whether it asks too often."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from clusterm.access import tokens
from clusterm.access.principal import Principal
from clusterm.access.rate_limit import TokenBucket
from clusterm.common import service_log
from clusterm.enums import Auth, TokenRole, TokenStatus
from clusterm.errors import AccessDenied, Forbidden, TooManyRequests, Unauthorized
from clusterm.settings import ManagerSettings
from clusterm.store import tokens as token_queries
from clusterm.store.engine import Store
from clusterm.store.errors import StoreError

log = logging.getLogger(__name__)

_WRITE_INTERVAL_S: Final = 60.0
"""Seconds between two times that uses of tokens are written down, and in which a sender's refusals make two lines."""

RECHECK_INTERVAL_S: Final = 2.0
"""Seconds for which a token that was good is taken to be, for streams that are open already."""

_MAX_LOGGED_REFUSALS: Final = 100
"""Senders and reasons that are told of in a period; all others are one."""

_STREAM_ENDS: Final = 5
"""Seconds after which to ask again for a stream, where there are too many."""


class Authenticator:
    """What stands before every route.

    Args:
        store: where the tokens are.
        settings: returns how to treat them.
    """

    def __init__(self, store: Store, settings: Callable[[], ManagerSettings]) -> None:
        self._store = store
        self._settings = settings
        self._lock = threading.Lock()
        self._buckets: dict[int, TokenBucket] = {}
        self._uses: dict[int, datetime] = {}
        self._streams: Counter[int] = Counter()
        self._good_at: dict[int, float] = {}
        self._refused: Counter[tuple[str, str]] = Counter()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="authenticator", daemon=True)

    def start(self) -> None:
        """Begin to write down what has gone on."""
        self._thread.start()

    def stop(self) -> None:
        """Write down the rest."""
        self._stopping.set()
        self._thread.join(timeout=1)

    @property
    def is_required(self) -> bool:
        """Whether a token is needed at all."""
        return self._settings().auth is Auth.TOKEN

    def authenticate(self, token: str | None, needed: TokenRole) -> Principal:
        """Tell who a token says that it is.

        Raises:
            AccessDenied: it is not good, its role is not enough, or it has been used too often.
        """
        if token is None:
            raise Unauthorized("this needs a token, sent as: Authorization: Bearer TOKEN", "")
        principal = self._principal(token)
        if not principal.may(needed):
            raise Forbidden(f"this needs the role {needed}; the token {principal.name} has the role {principal.role}")
        self._take(principal)
        return principal

    def is_recently_valid(self, principal: Principal) -> bool:
        """Tell whether a token was good a moment ago, without asking the store."""
        return time.monotonic() - self._good_at.get(principal.token_id, -RECHECK_INTERVAL_S) < RECHECK_INTERVAL_S

    def is_still_valid(self, principal: Principal) -> bool:
        """Tell whether a token that was good is still."""
        if self.is_recently_valid(principal):
            return True
        with self._store.read() as session:
            token = token_queries.by_id(session, principal.token_id)
        if token is None or token_queries.status_of(token) is not TokenStatus.VALID:
            return False
        self._good_at[principal.token_id] = time.monotonic()
        return True

    @contextmanager
    def stream(self, principal: Principal | None) -> Iterator[None]:
        """Count an answer that stays open, for as long as it does.

        Raises:
            TooManyRequests: there are too many of that token.
        """
        if principal is None:
            yield
            return
        most = self._settings().max_streams
        if self._streams[principal.token_id] >= most:
            raise TooManyRequests(
                f"the token {principal.name} has {most} streams open, which is as many as manager.max_streams allows",
                _STREAM_ENDS,
            )
        self._streams[principal.token_id] += 1
        try:
            yield
        finally:
            self._streams[principal.token_id] -= 1

    def log_refusal(self, refusal: AccessDenied, request: str, sender: str) -> None:
        """Log that a request was not let in: in a period the first one for a reason, and at its end how many."""
        which = (sender, str(refusal))
        with self._lock:
            if which not in self._refused and len(self._refused) >= _MAX_LOGGED_REFUSALS:
                which = ("others", "various reasons")
            self._refused[which] += 1
            first = self._refused[which] == 1
        if first:
            about = service_log.log_fields(status=int(refusal.status), sender=sender)
            log.warning("%s from %s was not let in: %s", request, sender, refusal, extra=about)

    def _principal(self, token: str) -> Principal:
        with self._store.read() as session:
            found = token_queries.by_digest(session, tokens.digest(token))
        if found is None:
            raise Unauthorized("this token is not known here", "invalid_token")
        if (status := token_queries.status_of(found)) is not TokenStatus.VALID:
            raise Unauthorized(f"the token {found.name} is {status}", "invalid_token")
        with self._lock:
            self._uses[found.id] = datetime.now(UTC)
        return Principal(found.id, found.name, found.role)

    def _take(self, principal: Principal) -> None:
        """Count a request against what its token may ask for in a minute."""
        if not (most := self._settings().requests_per_minute):
            return
        with self._lock:
            now = time.monotonic()
            wait = self._buckets.setdefault(principal.token_id, TokenBucket(most, now)).take(now)
        if wait:
            raise TooManyRequests(
                f"the token {principal.name} asks more often than manager.requests_per_minute allows, {most}", wait
            )

    def _run(self) -> None:
        while not self._stopping.wait(_WRITE_INTERVAL_S):
            self._record_uses()
        self._record_uses()

    def _record_uses(self) -> None:
        with self._lock:
            uses, self._uses = self._uses, {}
            refused, self._refused = self._refused, Counter()
        for (sender, reason), times in refused.items():
            if times > 1:
                log.warning("%d requests from %s were not let in within a minute: %s", times, sender, reason)
        if uses:
            try:
                with self._store.write() as session:
                    token_queries.record_uses(session, uses)
            except StoreError as error:
                log.error("cannot write down when tokens were used: %s", error)  # noqa: TRY400
