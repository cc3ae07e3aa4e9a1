"""Secret keys, one for each purpose, derived from JWT_SECRET with HKDF-SHA256 (RFC 5869)."""

from functools import lru_cache
from typing import Literal, get_args

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.settings import Settings

Purpose = Literal["session tokens", "download links", "request digests", "stored responses"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
KEY_BYTES = 32


def key_for(purpose: Purpose, settings: Settings) -> bytes:
    """Return the 32-byte key of this installation for the purpose. A new JWT_SECRET gives new keys."""
    return derive_key(settings.jwt_secret.get_secret_value(), purpose)


# Cached, because every request with a token needs the key of session tokens.
@lru_cache(maxsize=2 * len(PURPOSES))
def derive_key(secret: str, purpose: Purpose) -> bytes:
    """Return the 32-byte key that the secret gives for the purpose. Keys of two purposes do not reveal each other."""
    # No salt (RFC 5869, 3.1): every process must derive the same key from the secret alone.
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"waymark {purpose}".encode()).derive(secret.encode())
