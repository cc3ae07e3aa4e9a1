"""Password hashes: argon2id (RFC 9106) with the library's parameters, a few at a time, for each takes 64 MiB."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from shared.errors import Unavailable
from shared.once import once
from shared.settings import settings

HASHER = PasswordHasher()
WAIT_SECONDS = 10.0


def hash_password(password: str) -> str:
    """The hash to store, with its salt and parameters inside. Raises Unavailable if too many others wait."""
    with _slot():
        return HASHER.hash(password)


def is_password(password: str, stored: str | None) -> bool:
    """Whether the password belongs to the stored hash. Without one it takes the same time and says no, so that no
    stopwatch tells which names exist. Raises Unavailable if too many others wait."""
    decoy = _decoy()
    with _slot():
        try:
            HASHER.verify(stored or decoy, password)
        except (VerificationError, InvalidHashError):
            return False
    return stored is not None


def is_outdated(stored: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(stored)


@once
def _decoy() -> str:
    return hash_password(secrets.token_urlsafe())


@once
def _slots() -> BoundedSemaphore:
    return BoundedSemaphore(settings().password_hashes_at_once)


@contextmanager
def _slot() -> Iterator[None]:
    if not _slots().acquire(timeout=WAIT_SECONDS):
        raise Unavailable("Too many people are logging in; try again shortly.")
    try:
        yield
    finally:
        _slots().release()
