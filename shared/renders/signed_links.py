"""Links that open one download to whoever has them, for a while: an HMAC of what they open and until when. Pure."""

import hmac
from datetime import datetime
from hashlib import sha256
from uuid import UUID

PURPOSE = b"waymark render download"
"""Makes the key another one than that of access tokens, which has the same origin."""


def sign(secret: str, render_id: UUID, expires: int) -> str:
    """The signature of a link that ends at this second (Unix time)."""
    key = hmac.digest(secret.encode(), PURPOSE, sha256)
    return hmac.digest(key, f"{render_id} {expires}".encode(), sha256).hex()


def is_valid(secret: str, render_id: UUID, expires: str, signature: str, now: datetime) -> bool:
    """Whether a link with this query opens the download now."""
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 12 and signature.isascii()):
        return False
    return int(expires) > now.timestamp() and hmac.compare_digest(sign(secret, render_id, int(expires)), signature)
