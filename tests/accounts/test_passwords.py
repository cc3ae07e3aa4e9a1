"""Password hashes, and the routes that compute them."""

from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask

from shared.accounts import passwords
from shared.infra import db, event_loop
from shared.infra.db import Conn
from web.http.request_context import QUEUE_FULL, SERIALIZED_ROUTES


def test_a_hash_is_argon2id_and_matches_its_password_only() -> None:
    stored = passwords.hash_password("correct horse")

    assert stored.startswith("$argon2id$")
    assert passwords.verify_password("correct horse", stored)
    assert not passwords.verify_password("correct horse ", stored)
    assert not passwords.verify_password("correct horse", "not a hash")


def test_a_missing_hash_costs_as_much_as_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing hash is verified against a dummy with the same parameters."""
    verified: list[str] = []

    class RecordingHasher(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Any:  # noqa: A002 - the library's name
            verified.append(str(hash))
            return super().verify(hash, password)

    stored = passwords.hash_password("correct horse")
    monkeypatch.setattr(passwords, "HASHER", RecordingHasher(time_cost=1, memory_cost=8, parallelism=1))
    # An earlier test may have created the dummy with other parameters.
    passwords._dummy_hash.reset()

    assert not passwords.verify_password("guess", stored)
    assert not passwords.verify_password("guess", None)

    parameters = [text.rsplit("$", 2)[0] for text in verified]
    assert len(parameters) == 2
    assert parameters[0] == parameters[1]


def test_a_hash_with_other_parameters_needs_a_rehash() -> None:
    assert not passwords.needs_rehash(passwords.hash_password("correct horse"))
    assert passwords.needs_rehash(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash("correct horse"))


def test_hashing_holds_no_database_connection(client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    in_use: list[int] = []
    run = event_loop.run_in_background_thread

    def count_and_run(work: Any) -> Any:
        in_use.append(db.pool().get_stats()["pool_size"] - db.pool().get_stats()["pool_available"])
        return run(work)

    passwords.verify_password("computes the dummy hash", None)
    monkeypatch.setattr(passwords, "run_in_background_thread", count_and_run)
    ada = {"username": "ada", "password": "correct horse"}
    session = client.post("/auth/register", json=ada).json
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    client.post("/auth/login", json=ada)
    body = {"current_password": "correct horse", "new_password": "battery staple"}
    client.post("/users/me/password", json=body, headers=headers)
    client.delete("/users/me", json={"current_password": "battery staple"}, headers=headers)

    # The one connection is the test's own.
    assert in_use == [1] * 5


def test_only_views_that_hash_are_serialized(app: Flask) -> None:
    assert app.extensions[SERIALIZED_ROUTES] == {
        ("POST", "/auth/login"),
        ("POST", "/auth/register"),
        ("POST", "/auth/upgrade"),
        ("POST", "/users/me/password"),
        ("DELETE", "/users/me"),
    }


def test_log_in_that_finds_no_room_in_the_queue_is_503(client: Any) -> None:
    credentials = {"username": "ada", "password": "correct horse"}
    rejected = client.post("/auth/login", json=credentials, environ_overrides={QUEUE_FULL: True})

    assert (rejected.status_code, rejected.headers["Retry-After"]) == (503, "2")
    assert client.post("/auth/login", json=credentials).status_code == 401
