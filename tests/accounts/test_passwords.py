from threading import BoundedSemaphore
from typing import Any

import pytest
from argon2 import PasswordHasher

from shared.accounts import passwords
from shared.errors import Unavailable


def test_a_hash_is_argon2id_and_belongs_to_one_password() -> None:
    stored = passwords.hash_password("correct horse")

    assert stored.startswith("$argon2id$")
    assert passwords.is_password("correct horse", stored)
    assert not passwords.is_password("correct horse ", stored)
    assert not passwords.is_password("correct horse", "not a hash")


def test_no_hash_costs_as_much_as_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a hasher that notes its work, a missing hash is verified against one with the same parameters."""
    checked: list[str] = []

    class Noting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Any:  # noqa: A002 - the library's name
            checked.append(str(hash))
            return super().verify(hash, password)

    stored = passwords.hash_password("correct horse")
    monkeypatch.setattr(passwords, "HASHER", Noting(time_cost=1, memory_cost=8, parallelism=1))

    assert not passwords.is_password("guess", stored)
    assert not passwords.is_password("guess", None)

    parameters = [text.rsplit("$", 2)[0] for text in checked]
    assert len(parameters) == 2
    assert parameters[0] == parameters[1]


def test_a_hash_with_other_parameters_is_outdated() -> None:
    assert not passwords.is_outdated(passwords.hash_password("correct horse"))
    assert passwords.is_outdated(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash("correct horse"))


def test_who_waits_too_long_for_a_slot_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = BoundedSemaphore(1)
    taken.acquire()
    monkeypatch.setattr(passwords, "_slots", lambda: taken)
    monkeypatch.setattr(passwords, "WAIT_SECONDS", 0)

    with pytest.raises(Unavailable):
        passwords.is_password("guess", None)
