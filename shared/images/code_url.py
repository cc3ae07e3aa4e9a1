"""The URL that the symbol of a code encodes."""

from shared.settings import settings


def code_url(code: str) -> str:
    """Return the URL that a phone opens when it reads the code: PUBLIC_URL/s/{code}."""
    return f"{settings().public_base_url}/s/{code}"


def rotating_code_url(code: str, step_mac: str) -> str:
    """Return the URL of one step of a rotating code: PUBLIC_URL/s/{code}?t={step}.{mac}."""
    return f"{code_url(code)}?t={step_mac}"
