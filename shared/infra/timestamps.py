"""Times as the contract writes them."""

from datetime import UTC, datetime


def format_rfc3339(value: datetime) -> str:
    """RFC 3339 in UTC, ending in Z."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
