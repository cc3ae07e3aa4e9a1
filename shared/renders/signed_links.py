"""Links that allow one download without a token for a limited time: an HMAC of render and expiry. Pure."""

import hmac
from datetime import datetime
from hashlib import sha256
from uuid import UUID


def sign(key: bytes, render_id: UUID, expires: int) -> str:
    """Return the signature of a link that expires at this second (Unix time)."""
    return hmac.digest(key, f"{render_id} {expires}".encode(), sha256).hex()


def is_valid(key: bytes, render_id: UUID, expires: str, signature: str, now: datetime) -> bool:
    """True if a link with these query parameters allows the download now."""
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 12 and signature.isascii()):
        return False
    return int(expires) > now.timestamp() and hmac.compare_digest(sign(key, render_id, int(expires)), signature)
