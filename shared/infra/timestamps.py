"""Format timestamps."""

from datetime import UTC, datetime


def format_rfc3339(value: datetime) -> str:
    """Return a time in RFC 3339, in UTC, ending in Z."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
