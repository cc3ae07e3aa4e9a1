"""The URL that the symbol of a code encodes."""

from shared.settings import settings


def code_url(code: str) -> str:
    """Return the URL that a phone opens when it reads the code: PUBLIC_URL/s/{code}."""
    return f"{settings().public_base_url}/s/{code}"
