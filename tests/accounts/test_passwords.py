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


def test_a_hash_is_argon2id_and_belongs_to_one_password() -> None:
    stored = passwords.hash_password("correct horse")

    assert stored.startswith("$argon2id$")
    assert passwords.verify_password("correct horse", stored)
    assert not passwords.verify_password("correct horse ", stored)
    assert not passwords.verify_password("correct horse", "not a hash")


def test_no_hash_costs_as_much_as_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a hasher that notes its work, a missing hash is verified against one with the same parameters."""
    checked: list[str] = []

    class Noting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Any:  # noqa: A002 - the library's name
            checked.append(str(hash))
            return super().verify(hash, password)

    stored = passwords.hash_password("correct horse")
    monkeypatch.setattr(passwords, "HASHER", Noting(time_cost=1, memory_cost=8, parallelism=1))

    assert not passwords.verify_password("guess", stored)
    assert not passwords.verify_password("guess", None)

    parameters = [text.rsplit("$", 2)[0] for text in checked]
    assert len(parameters) == 2
    assert parameters[0] == parameters[1]


def test_a_hash_with_other_parameters_is_outdated() -> None:
    assert not passwords.needs_rehash(passwords.hash_password("correct horse"))
    assert passwords.needs_rehash(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash("correct horse"))


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two places, and one who hashes."""
    few: Any = type("Few", (), {"password_hash_queue_limit": 2, "password_hash_concurrency": 1})()
    monkeypatch.setattr(passwords, "settings", lambda: few)
    for made in (passwords._slots, passwords._hashers):
        made.reset()
    yield
    for made in (passwords._slots, passwords._hashers):
        made.reset()


class Held(PasswordHasher):
    """A hasher that begins, and goes on when it may."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.begun, self.may_go_on = Event(), Event()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.begun.set()
        assert self.may_go_on.wait(20)
        return super().hash(password, salt=salt)


@pytest.mark.usefixtures("line")
def test_where_the_line_is_full_one_is_sent_away_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One hashes, one waits, and the third is told so without a wait. Afterwards there is room again."""
    held = Held()
    monkeypatch.setattr(passwords, "HASHER", held)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(passwords.hash_password, "correct horse")
        assert held.begun.wait(20)
        second = threads.submit(passwords.hash_password, "battery staple")
        eventually(lambda: passwords._slots()._value == 0)
        with pytest.raises(PasswordHashingBusy):
            passwords.hash_password("one too many")
        held.may_go_on.set()
        assert first.result(20)
        assert second.result(20)
    assert passwords.hash_password("later")


@pytest.mark.usefixtures("line")
def test_who_waits_too_long_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    monkeypatch.setattr(passwords, "HASHER", held)
    monkeypatch.setattr(passwords, "QUEUE_TIMEOUT_SECONDS", 0.01)

    with pytest.raises(PasswordHashingBusy):
        passwords.hash_password("correct horse")

    held.may_go_on.set()


def test_over_http_it_is_a_503_that_says_when_to_come_back(
    client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not all at the same moment; and whoever is signed in is served."""

    def full(_work: object) -> None:
        raise PasswordHashingBusy

    ada = {"username": "ada", "password": "correct horse"}
    session = client.post("/auth/register", json=ada).json
    monkeypatch.setattr(passwords, "_run_queued", full)

    answers = [client.post("/auth/login", json=ada) for _ in range(40)]

    assert {answer.status_code for answer in answers} == {503}
    seconds = {int(answer.headers["Retry-After"]) for answer in answers}
    assert seconds <= set(range(1, 9))
    assert len(seconds) > 1
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    assert client.get("/users/me", headers=headers).status_code == 200


def test_no_connection_is_held_while_a_password_is_hashed(
    client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are fewer connections than people may wait."""
    taken: list[int] = []
    hashing = passwords._run_queued

    def looked_at(work: Any) -> Any:
        taken.append(db.pool().get_stats()["pool_size"] - db.pool().get_stats()["pool_available"])
        return hashing(work)

    monkeypatch.setattr(passwords, "_run_queued", looked_at)
    ada = {"username": "ada", "password": "correct horse"}
    session = client.post("/auth/register", json=ada).json
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    client.post("/auth/login", json=ada)
    body = {"current_password": "correct horse", "new_password": "battery staple"}
    client.post("/users/me/password", json=body, headers=headers)
    client.delete("/users/me", json={"current_password": "battery staple"}, headers=headers)

    assert taken == [1] * 5  # the test's own


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own under Linux only")
@pytest.mark.usefixtures("line")
def test_hashing_stands_back_and_requests_do_not() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, get_native_id())

    ours = niceness()

    assert passwords._run_queued(niceness) == min(19, ours + passwords.NICENESS)
    assert niceness() == ours


@pytest.mark.usefixtures("line")
def test_where_priorities_are_forbidden_passwords_are_hashed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_arguments: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", forbidden)

    assert passwords.verify_password("correct horse", passwords.hash_password("correct horse"))


def test_a_process_has_threads_left_for_everything_else() -> None:
    """With every place of every kind taken there are threads for the rest."""
    one = settings().model_copy(update={"web_threads": 256, "max_websockets": None})

    assert (
        one.websocket_limit + one.verdict_wait_limit + one.download_limit + one.password_hash_queue_limit
        < one.web_threads
    )


@pytest.mark.usefixtures("line")
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
def test_while_the_line_is_full_no_body_is_looked_at(app: Flask, conn: Conn, method: str, path: str) -> None:
    client, ada = app.test_client(), sign_in(app, conn)
    for _ in range(2):
        assert passwords._slots().acquire(blocking=False)

    refused = client.open(path, method=method, json={"no such": "field"}, headers=ada.headers)
    passwords._slots().release()
    looked_at = client.open(path, method=method, json={"no such": "field"}, headers=ada.headers)

    assert (refused.status_code, looked_at.status_code) == (503, 422)


def test_only_what_hashes_comes_in_crowds(app: Flask) -> None:
    assert app.extensions[SERIALIZED_ROUTES] == {
        ("POST", "/auth/login"),
        ("POST", "/auth/register"),
        ("POST", "/auth/upgrade"),
        ("POST", "/users/me/password"),
        ("DELETE", "/users/me"),
    }
