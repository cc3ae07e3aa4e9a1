"""Password hashes, and the bounded queue for hashing."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, get_native_id
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask

from shared.accounts import passwords
from shared.errors import PasswordHashingBusy
from shared.infra import db
from shared.infra.concurrency import SERIALIZED_ROUTES
from shared.infra.db import Conn
from shared.settings import settings
from tests.support.callers import sign_in
from tests.support.polling import eventually


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


@pytest.fixture
def short_queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A queue of two requests, one of which is hashed at a time."""
    limits = settings().model_copy(update={"web_threads": 40, "max_websockets": 8, "password_hash_concurrency": 1})
    monkeypatch.setattr(passwords, "settings", lambda: limits)
    for value in (passwords._slots, passwords._hashers):
        value.reset()
    yield
    for value in (passwords._slots, passwords._hashers):
        value.reset()


class BlockedHasher(PasswordHasher):
    """A hasher that starts, and waits for `may_finish`."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.started, self.may_finish = Event(), Event()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.started.set()
        assert self.may_finish.wait(20)
        return super().hash(password, salt=salt)


@pytest.mark.usefixtures("short_queue")
def test_a_full_queue_rejects_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One request hashes, one waits, the third is rejected. Later requests are accepted again."""
    hasher = BlockedHasher()
    monkeypatch.setattr(passwords, "HASHER", hasher)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(passwords.hash_password, "correct horse")
        assert hasher.started.wait(20)
        second = threads.submit(passwords.hash_password, "battery staple")
        eventually(lambda: passwords._slots()._value == 0)
        with pytest.raises(PasswordHashingBusy):
            passwords.hash_password("third")
        hasher.may_finish.set()
        assert first.result(20)
        assert second.result(20)
    assert passwords.hash_password("later")


@pytest.mark.usefixtures("short_queue")
def test_a_wait_beyond_the_timeout_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = BlockedHasher()
    monkeypatch.setattr(passwords, "HASHER", hasher)
    monkeypatch.setattr(passwords, "QUEUE_TIMEOUT_SECONDS", 0.01)

    with pytest.raises(PasswordHashingBusy):
        passwords.hash_password("correct horse")

    hasher.may_finish.set()


def test_over_http_a_full_queue_is_503_with_varied_retry_after(
    client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients retry at different times. Requests with a valid session are served meanwhile."""

    def full(_work: object) -> None:
        raise PasswordHashingBusy

    ada = {"username": "ada", "password": "correct horse"}
    session = client.post("/auth/register", json=ada).json
    monkeypatch.setattr(passwords, "_run_queued", full)

    responses = [client.post("/auth/login", json=ada) for _ in range(40)]

    assert {response.status_code for response in responses} == {503}
    seconds = {int(response.headers["Retry-After"]) for response in responses}
    assert seconds <= set(range(1, 9))
    assert len(seconds) > 1
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    assert client.get("/users/me", headers=headers).status_code == 200


def test_hashing_holds_no_database_connection(client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool has fewer connections than the hashing queue has places."""
    in_use: list[int] = []
    run_queued = passwords._run_queued

    def count_and_run(work: Any) -> Any:
        in_use.append(db.pool().get_stats()["pool_size"] - db.pool().get_stats()["pool_available"])
        return run_queued(work)

    monkeypatch.setattr(passwords, "_run_queued", count_and_run)
    ada = {"username": "ada", "password": "correct horse"}
    session = client.post("/auth/register", json=ada).json
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    client.post("/auth/login", json=ada)
    body = {"current_password": "correct horse", "new_password": "battery staple"}
    client.post("/users/me/password", json=body, headers=headers)
    client.delete("/users/me", json={"current_password": "battery staple"}, headers=headers)

    # The one connection is the test's own.
    assert in_use == [1] * 5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
@pytest.mark.usefixtures("short_queue")
def test_only_hashing_threads_have_low_priority() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, get_native_id())

    before = niceness()

    assert passwords._run_queued(niceness) == min(19, before + passwords.NICENESS)
    assert niceness() == before


@pytest.mark.usefixtures("short_queue")
def test_passwords_are_hashed_where_priorities_are_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_arguments: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", forbidden)

    assert passwords.verify_password("correct horse", passwords.hash_password("correct horse"))


def test_the_limits_leave_threads_for_other_requests() -> None:
    """All slots of all kinds together are fewer than the threads of a process."""
    process = settings().model_copy(update={"web_threads": 256, "max_websockets": None})

    assert (
        process.websocket_limit
        + process.verdict_wait_limit
        + process.download_limit
        + process.password_hash_queue_limit
        < process.web_threads
    )


@pytest.mark.usefixtures("short_queue")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/auth/login"),
        ("POST", "/auth/register"),
        ("POST", "/auth/upgrade"),
        ("POST", "/users/me/password"),
        ("DELETE", "/users/me"),
    ],
)
def test_a_full_queue_is_503_before_the_body_is_validated(app: Flask, conn: Conn, method: str, path: str) -> None:
    client, ada = app.test_client(), sign_in(app, conn)
    for _ in range(2):
        assert passwords._slots().acquire(blocking=False)

    rejected = client.open(path, method=method, json={"no such": "field"}, headers=ada.headers)
    passwords._slots().release()
    validated = client.open(path, method=method, json={"no such": "field"}, headers=ada.headers)

    assert (rejected.status_code, validated.status_code) == (503, 422)


def test_only_views_that_hash_are_serialized(app: Flask) -> None:
    assert app.extensions[SERIALIZED_ROUTES] == {
        ("POST", "/auth/login"),
        ("POST", "/auth/register"),
        ("POST", "/auth/upgrade"),
        ("POST", "/users/me/password"),
        ("DELETE", "/users/me"),
    }
