"""The header `Retry-After` (RFC 9110, section 10.2.3)."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def parse_retry_after(value: str, now: datetime | None = None) -> float:
    """Return the seconds to wait; 0 if the header is absent, invalid or in the past.

    Args:
        value: the header: seconds, also with a fraction as some servers send them, or an HTTP date.
        now: the present time; None for the clock's.
    """
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return 0.0
        aware = at if at.tzinfo else at.replace(tzinfo=UTC)  # "-0000", which is UTC from an unknown place
        seconds = (aware - (now or datetime.now(UTC))).total_seconds()
    return seconds if 0 < seconds < math.inf else 0.0
