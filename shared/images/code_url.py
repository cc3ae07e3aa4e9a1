"""What the symbol of a code says."""

from shared.settings import settings


def code_url(code: str) -> str:
    """Where a phone that reads the code is led: PUBLIC_URL/s/{code}."""
    return f"{settings().public_base_url}/s/{code}"
