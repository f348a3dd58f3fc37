"""Forms of the header `Retry-After`."""

from datetime import UTC, datetime

import pytest

from clusterm.common.retry_after import parse_retry_after

NOW = datetime(2026, 11, 22, 7, 31, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *(("6", 6), ("6.0", 6), (" 0.5 ", 0.5)),
        *(("Sun, 22 Nov 2026 07:31:12 GMT", 10), ("Sunday, 22-Nov-26 07:31:12 GMT", 10)),
        *(("Sun, 22 Nov 2026 07:31:12 -0000", 10), ("Sun, 22 Nov 2026 07:31:12 +0100", 0)),
        *(("Sun, 22 Nov 2026 07:30:00 GMT", 0), ("Sun, 99 Nov 2026 07:30:00 GMT", 0)),
        *(("", 0), ("soon", 0), ("-1", 0), ("nan", 0), ("inf", 0), ("9" * 400, 0)),
    ],
)
def test_seconds_to_wait(value: str, seconds: float) -> None:
    assert parse_retry_after(value, NOW) == seconds
