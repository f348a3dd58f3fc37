"""The format of times in the API."""

from datetime import UTC, datetime


def format_time(at: datetime) -> str:
    """Format a time as RFC 3339 in UTC with microseconds, such as `2026-11-22T07:31:02.000001Z`."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
