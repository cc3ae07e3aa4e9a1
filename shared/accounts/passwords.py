"""Passwords: their hashes, and which are too common.

Hashes are argon2id (RFC 9106). Each needs 64 MiB of memory and 0.1 to 0.2 seconds of one core.

Web hashes in native threads at low priority, and its server runs few of these requests at a time. So a burst of log-ins
leaves the other cores to other requests.
"""

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn_rs_py import zxcvbn

from shared.infra.event_loop import run_in_background_thread
from shared.infra.per_process import per_process

# Iterations and memory of the second recommended option of RFC 9106, section 4. With its four lanes, each hash starts
# 48 threads on all cores, which delays other processes of the machine. One lane costs an attacker as much work.
HASHER = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1)
MIN_GUESSES_LOG10 = 5.0
"""Passwords that an attacker finds with fewer guesses are too common: those of zxcvbn's list of 30,000, words and names
with simple changes, repetitions, and sequences. All addresses together can try a username 1,000 times an hour."""
EXAMINED_CHARACTERS = 24
"""The start of a password that is examined. No common password is longer, and the time grows with the length."""
TOO_COMMON = "This password is too common. Use several words, or more characters."


def is_too_common(password: str, username: str) -> bool:
    """Return whether a password is easy to guess for anyone who knows the username."""
    guesses = zxcvbn(password[:EXAMINED_CHARACTERS], [username]).guesses_log10
    return not password.strip() or guesses < MIN_GUESSES_LOG10


def hash_password(password: str) -> str:
    """Return the hash to store; it contains its salt and parameters."""
    return run_in_background_thread(lambda: HASHER.hash(password))


def verify_password(password: str, stored: str | None) -> bool:
    """Return whether the password matches the stored hash.

    Without a stored hash, take the same time and return False: the time does not reveal which usernames exist.
    """
    dummy = _dummy_hash()

    def verify() -> bool:
        try:
            HASHER.verify(stored or dummy, password)
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None

    return run_in_background_thread(verify)


def needs_rehash(stored: str) -> bool:
    """Return whether the hash has other parameters than the current ones."""
    return HASHER.check_needs_rehash(stored)


@per_process
def _dummy_hash() -> str:
    return hash_password(secrets.token_urlsafe())
