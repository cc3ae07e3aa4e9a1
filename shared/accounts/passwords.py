"""Password hashes: argon2id (RFC 9106), computed by a few threads with a bounded queue.

Each hash needs 64 MiB of memory. The threads run at low priority, and requests beyond the queue are rejected at once.
So a burst of log-ins takes neither the processors nor the request threads from other requests.
"""

import os
import secrets
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as QueueTimeout
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
NICENESS = 15
"""Added to the niceness of a hashing thread. The threads that argon2 starts inherit it."""


def hash_password(password: str) -> str:
    """Return the hash to store; it contains its salt and parameters. Raise PasswordHashingBusy."""
    return _run_queued(lambda: HASHER.hash(password))


def verify_password(password: str, stored: str | None) -> bool:
    """Return whether the password matches the stored hash. Raise PasswordHashingBusy.

    Without a stored hash, take the same time and return False: the time does not reveal which usernames exist.
    """

    def verify() -> bool:
        dummy = _dummy_hash()
        try:
            HASHER.verify(stored or dummy, password)
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None

    return _run_queued(verify)


def needs_rehash(stored: str) -> bool:
    """Return whether the hash has other parameters than the current ones."""
    return HASHER.check_needs_rehash(stored)


@per_process
def _dummy_hash() -> str:
    return HASHER.hash(secrets.token_urlsafe())


def check_capacity() -> None:
    """Raise PasswordHashingBusy if the queue is full, before any other work for a request that hashes a password."""
    if not _slots().acquire(blocking=False):
        raise PasswordHashingBusy
    _slots().release()


def _run_queued(work: Callable[[], T]) -> T:
    """Run the work on a hashing thread. Raise PasswordHashingBusy if the queue is full, or after 10 seconds in it."""
    if not _slots().acquire(blocking=False):
        raise PasswordHashingBusy
    try:
        release_permit()
        future = _hashers().submit(work)
        try:
            return future.result(QUEUE_TIMEOUT_SECONDS)
        except QueueTimeout:
            future.cancel()
            raise PasswordHashingBusy from None
    finally:
        _slots().release()


@per_process
def _slots() -> BoundedSemaphore:
    return BoundedSemaphore(settings().password_hash_queue_limit)


@per_process
def _hashers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings().password_hash_concurrency, "passwords", initializer=_lower_priority)


def _lower_priority() -> None:
    # Linux has a priority for each thread (setpriority(2), NOTES). A sandbox can forbid the call. That must not raise:
    # an error here would break the pool, and with it every later log-in of the process.
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS))
