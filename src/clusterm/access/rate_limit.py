"""Rate limits."""

import math


class TokenBucket:
    """A token bucket: allows a burst of a minute's requests, and refills continuously.

    Args:
        per_minute: requests per minute.
        now: seconds of a monotonic clock.
    """

    def __init__(self, per_minute: int, now: float) -> None:
        self._rate = per_minute / 60
        self._capacity = float(per_minute)
        self._left = self._capacity
        self._at = now

    def take(self, now: float) -> int:
        """Count a request and return 0; if the bucket is empty, return the seconds until a request is allowed."""
        self._left = min(self._capacity, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return math.ceil((1 - self._left) / self._rate)
        self._left -= 1
        return 0
