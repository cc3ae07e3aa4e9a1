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

from shared.errors import PasswordHashingBusy
from shared.infra.concurrency import release_permit
from shared.infra.per_process import per_process
from shared.settings import settings

T = TypeVar("T")
HASHER = PasswordHasher()
QUEUE_TIMEOUT_SECONDS = 10.0
NICENESS = 15  # of niceness; argon2's own threads inherit it


def hash_password(password: str) -> str:
    """The hash to store, with its salt and parameters inside. Raises TooManyPasswords."""
    return _run_queued(lambda: HASHER.hash(password))


def verify_password(password: str, stored: str | None) -> bool:
    """Whether the password belongs to the stored hash. Without one it takes the same time and says no, so that no
    stopwatch tells which names exist. Raises TooManyPasswords."""

    def verify() -> bool:
        decoy = _dummy_hash()
        try:
            HASHER.verify(stored or decoy, password)
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None

    return _run_queued(verify)


def needs_rehash(stored: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(stored)


@per_process
def _dummy_hash() -> str:
    return HASHER.hash(secrets.token_urlsafe())


def check_capacity() -> None:
    """Find out early whether there is room in the line, before anything else is done for a request that needs a hash.
    Raises TooManyPasswords."""
    if not _places().acquire(blocking=False):
        raise PasswordHashingBusy
    _places().release()


def _run_queued(work: Callable[[], T]) -> T:
    """Have the work done by a hashing thread. Raises TooManyPasswords where the line is full, or does not move."""
    if not _places().acquire(blocking=False):
        raise PasswordHashingBusy
    try:
        release_permit()
        hashed = _hashers().submit(work)
        try:
            return hashed.result(QUEUE_TIMEOUT_SECONDS)
        except TookTooLong:
            hashed.cancel()
            raise PasswordHashingBusy from None
    finally:
        _places().release()


@per_process
def _places() -> BoundedSemaphore:
    return BoundedSemaphore(settings().password_hash_queue_limit)


@per_process
def _hashers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings().password_hash_concurrency, "passwords", initializer=_lower_priority)


def _lower_priority() -> None:
    """Lower this thread's priority: Linux has one for each thread (setpriority(2), NOTES). Where a sandbox forbids it,
    hashing goes on all the same: what a thread of the pool raises here would end every login for good."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS))
