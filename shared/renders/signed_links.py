"""Links that open one download to whoever has them, for a while: an HMAC of what they open and until when. Pure."""

import hmac
from datetime import datetime
from hashlib import sha256
from uuid import UUID


def sign(key: bytes, render_id: UUID, expires: int) -> str:
    """The signature of a link that ends at this second (Unix time)."""
    return hmac.digest(key, f"{render_id} {expires}".encode(), sha256).hex()


def is_valid(key: bytes, render_id: UUID, expires: str, signature: str, now: datetime) -> bool:
    """Whether a link with this query opens the download now."""
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 12 and signature.isascii()):
        return False
    return int(expires) > now.timestamp() and hmac.compare_digest(sign(key, render_id, int(expires)), signature)
