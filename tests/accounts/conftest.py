"""Passwords are hashed for real, with parameters that take no time."""

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from shared.accounts import passwords


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._dummy_hash.reset()
    yield
    passwords._dummy_hash.reset()
