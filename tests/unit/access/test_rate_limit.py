"""The token bucket of the rate limit."""

import pytest

from clusterm.access.rate_limit import TokenBucket


@pytest.mark.parametrize(
    ("seconds", "answers"),
    [([0] * 3, [0, 0, 30]), ([0, 0, 30, 31], [0, 0, 0, 29]), ([0, 600, 600, 600], [0, 0, 0, 30])],
)
def test_a_bucket(seconds: list[float], answers: list[int]) -> None:
    bucket = TokenBucket(2, 0)
    assert [bucket.take(now) for now in seconds] == answers
