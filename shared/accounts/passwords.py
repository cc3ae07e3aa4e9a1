"""Password hashes: argon2id (RFC 9106) with the library's parameters, a few at a time, for each takes 64 MiB.

They are computed by threads of their own, which stand back behind everything else that the machine has to do. Who asks
waits in a short line, and is sent away at once where that is full: a burst of logins takes neither the processors nor
the threads of requests from those who are in already.
"""

import os
import secrets
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import suppress
from threading import BoundedSemaphore
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from shared.errors import TooManyPasswords
from shared.infra.concurrency import step_aside
from shared.infra.per_process import once
from shared.settings import settings

T = TypeVar("T")
HASHER = PasswordHasher()
WAIT_SECONDS = 10.0
STEP_BACK = 15  # of niceness; argon2's own threads inherit it


def hash_password(password: str) -> str:
    """The hash to store, with its salt and parameters inside. Raises TooManyPasswords."""
    return _in_line(lambda: HASHER.hash(password))


def is_password(password: str, stored: str | None) -> bool:
    """Whether the password belongs to the stored hash. Without one it takes the same time and says no, so that no
    stopwatch tells which names exist. Raises TooManyPasswords."""

    def verify() -> bool:
        decoy = _decoy()
        try:
            HASHER.verify(stored or decoy, password)
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None

    return _in_line(verify)


def is_outdated(stored: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(stored)


@once
def _decoy() -> str:
    return HASHER.hash(secrets.token_urlsafe())


def look_for_room() -> None:
    """Find out early whether there is room in the line, before anything else is done for a request that needs a hash.
    Raises TooManyPasswords."""
    if not _places().acquire(blocking=False):
        raise TooManyPasswords
    _places().release()


def _in_line(work: Callable[[], T]) -> T:
    """Have the work done by a hashing thread. Raises TooManyPasswords where the line is full, or does not move."""
    if not _places().acquire(blocking=False):
        raise TooManyPasswords
    try:
        step_aside()
        hashed = _hashers().submit(work)
        try:
            return hashed.result(WAIT_SECONDS)
        except TookTooLong:
            hashed.cancel()
            raise TooManyPasswords from None
    finally:
        _places().release()


@once
def _places() -> BoundedSemaphore:
    return BoundedSemaphore(settings().max_passwords)


@once
def _hashers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings().password_hashes_at_once, "passwords", initializer=_stand_back)


def _stand_back() -> None:
    """Lower this thread's priority: Linux has one for each thread (setpriority(2), NOTES). Where a sandbox forbids it,
    hashing goes on all the same: what a thread of the pool raises here would end every login for good."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + STEP_BACK))
