"""What the symbol of a code says."""

from shared.settings import settings


def printed_text(code: str) -> str:
    """Where a phone that reads the code is led: PUBLIC_URL/s/{code}."""
    return f"{settings().printed_url}/s/{code}"
