"""Passwords are hashed for real, with parameters that take no time."""

from argon2 import PasswordHasher

from shared.accounts import passwords


def make_hashes_cheap() -> None:
    passwords.HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
