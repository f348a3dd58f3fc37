"""Exponential back-off."""

import random
import time


class Backoff:
    """Delays between attempts: the delay doubles with each failure in a row, up to a maximum.

    Args:
        first: seconds to wait after the first failure.
        maximum: seconds that a delay does not exceed.
        jitter: part of each delay that is random, from 0 to 1, so that many clients do not retry at the same time.

    Attributes:
        failures: number of failures since the last success.
    """

    def __init__(self, first: float, maximum: float, *, jitter: float = 0.0) -> None:
        self.failures = 0
        self._first = first
        self._maximum = maximum
        self._jitter = jitter
        self._not_before = 0.0  # monotonic time

    def fail(self, at_least: float = 0.0) -> float:
        """Record a failure and return the delay before the next attempt.

        Args:
            at_least: seconds that the delay is not shorter than, also if they exceed the maximum.
        """
        doublings = min(self.failures, 30)  # 2**30 exceeds every maximum, and does not overflow a float
        randomness = random.uniform(1 - self._jitter, 1)  # noqa: S311 -- not a secret
        delay = max(min(self._first * float(2**doublings), self._maximum) * randomness, at_least)
        self.failures += 1
        self._not_before = time.monotonic() + delay
        return delay

    def reset(self) -> None:
        """Record a success: the next attempt may start at once."""
        self.failures = 0
        self._not_before = 0.0

    def is_over(self) -> bool:
        """Return whether the delay has passed."""
        return time.monotonic() >= self._not_before
