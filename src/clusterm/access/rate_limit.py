"""A token bucket."""

import math


class TokenBucket:
    """A token bucket: so many requests at once, and as many more as a minute brings.

    Args:
        per_minute: how many.
        now: seconds of a clock that never goes back.
    """

    def __init__(self, per_minute: int, now: float) -> None:
        self._rate = per_minute / 60
        self._most = float(per_minute)
        self._left = self._most
        self._at = now

    def take(self, now: float) -> int:
        """Take one, and return 0; or, if there is none left, the seconds after which there will be."""
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return math.ceil((1 - self._left) / self._rate)
        self._left -= 1
        return 0
