"""Password hashes, and the routes that compute them."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from shared.accounts import passwords
from shared.infra import db, event_loop
from shared.infra.db import Conn
from tests.conftest import PASSWORD, Player
from tests.support.callers import bearer
from tests.support.command_line import error_of
from web.http.request_context import QUEUE_FULL, SERIALIZED_ROUTES


def test_a_hash_is_argon2id_and_matches_its_password_only() -> None:
    stored = passwords.hash_password("correct horse")

    assert stored.startswith("$argon2id$")
    assert passwords.verify_password("correct horse", stored)
    assert not passwords.verify_password("correct horse ", stored)
    assert not passwords.verify_password("correct horse", "not a hash")


def test_a_hash_occupies_one_core() -> None:
    """Other tests hash with parameters that take no time, so a process of its own shows the real ones."""
    program = "from shared.accounts.passwords import hash_password; print(hash_password('correct horse'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("$argon2id$v=19$m=65536,t=3,p=1$")


@pytest.mark.parametrize(
    "password",
    [
        *("12345678", "password", "Password1", "P@ssw0rd", "qwertyuiop", "iloveyou1", "liverpool1", "hunter2hunter2"),
        *(" " * 8, "\u3000" * 8, " \t\u00a0\u2003 \u3000  ", "aaaaaaaa", "abcabcabc", "x" * 256, "11111111"),
        *("lovelace", "Lovelace1", "ecalevol"),
    ],
)
def test_a_common_password_is_refused_everywhere(
    client: Any, register: Callable[..., Player], conn: Conn, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    ada, guest = register("lovelace"), client.post("/auth/guest").json
    body = {"username": "Lovelace.2", "password": password}
    change = {"current_password": PASSWORD, "new_password": password}

    registered = client.post("/auth/register", json=body)
    upgraded = client.post("/auth/upgrade", json=body, headers=bearer(guest["access_token"]))
    changed = client.post("/users/me/password", json=change, headers=ada.headers)
    assert "too common" in error_of("users", "reset-password", "lovelace", "--password-stdin", stdin=password)

    for response, field in ((registered, "password"), (upgraded, "password"), (changed, "new_password")):
        assert response.status_code == 422
        assert response.json["errors"] == [{"loc": f"body.{field}", "message": passwords.TOO_COMMON}]
    assert client.post("/auth/login", json={"username": "lovelace", "password": PASSWORD}).status_code == 200


@pytest.mark.parametrize(
    "password", ["correct horse", "long enough", "battery staple", "vR8qLz2M", "parrot-lamp", "wonderwoman & friends"]
)
def test_an_uncommon_password_is_accepted(password: str) -> None:
    assert not passwords.is_too_common(password, "ada")


@given(st.text(max_size=256), st.text(max_size=32))
def test_any_text_can_be_examined(password: str, username: str) -> None:
    assert passwords.is_too_common(password, username) in (True, False)


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
        ("POST", "/session"),
        ("POST", "/session/register"),
        ("POST", "/session/upgrade"),
        ("POST", "/users/me/password"),
        ("DELETE", "/users/me"),
    }


def test_log_in_that_finds_no_room_in_the_queue_is_503(client: Any) -> None:
    credentials = {"username": "ada", "password": "correct horse"}
    rejected = client.post("/auth/login", json=credentials, environ_overrides={QUEUE_FULL: True})

    assert (rejected.status_code, rejected.headers["Retry-After"]) == (503, "2")
    assert client.post("/auth/login", json=credentials).status_code == 401
