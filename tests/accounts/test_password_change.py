"""Changing a password needs the current one, and revokes all other sessions."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.accounts import passwords, sessions, store
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from tests.conftest import PASSWORD, Player
from tests.support.callers import bearer, sign_in
from tests.support.concurrency import wait_until_blocked
from web.api import accounts

NEW_PASSWORD = "battery staple"
TTL = timedelta(days=30)
BODY = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}


def log_in(client: Any, player: Player, password: str = PASSWORD) -> Any:
    return client.post("/auth/login", json={"username": player.username, "password": password})


def count_active_sessions(conn: Conn) -> int:
    return int(db.exactly_one(conn.execute("SELECT count(*) FROM sessions WHERE revoked_at IS NULL"))[0])


def test_change_makes_the_old_password_invalid_and_revokes_other_sessions(
    client: Any, conn: Conn, player: Player
) -> None:
    other = log_in(client, player).json

    assert client.post("/users/me/password", json=BODY, headers=player.headers).status_code == 204

    assert client.get("/users/me", headers=player.headers).status_code == 200
    assert client.post("/auth/refresh", headers=bearer(player.refresh_token)).status_code == 200
    assert client.get("/users/me", headers=bearer(other["access_token"])).status_code == 401
    assert client.post("/auth/refresh", headers=bearer(other["refresh_token"])).status_code == 401
    assert log_in(client, player).status_code == 401
    assert log_in(client, player, NEW_PASSWORD).status_code == 200
    reasons = conn.execute("SELECT revoked_reason FROM sessions ORDER BY id").fetchall()
    assert reasons == [(None,), ("password",), (None,)]


def test_a_wrong_current_password_is_403(client: Any, player: Player) -> None:
    response = client.post("/users/me/password", json=BODY | {"current_password": "guess"}, headers=player.headers)

    assert (response.status_code, response.json["detail"]) == (403, "The current password is wrong.")
    assert log_in(client, player).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/users/me/password", BODY),
        ("PATCH", "/users/me", {"username": "grace"}),
        ("PATCH", "/users/me", {"email": "grace@example.com"}),
    ],
)
def test_a_guest_gets_409_that_names_the_upgrade(
    app: Flask, client: Any, conn: Conn, method: str, path: str, body: dict[str, str]
) -> None:
    response = client.open(path, method=method, json=body, headers=sign_in(app, conn).headers)

    assert response.status_code == 409
    assert "/auth/upgrade" in response.json["detail"]


def test_the_second_of_two_equal_changes_has_the_wrong_password(client: Any, player: Player) -> None:
    assert client.post("/users/me/password", json=BODY, headers=player.headers).status_code == 204
    assert client.post("/users/me/password", json=BODY, headers=player.headers).status_code == 403


def log_in_late(conn: Conn, player: Player, client: Any, create: Callable[[Conn, str], object]) -> int:
    """Verify the old password, change the password, then create the session. Return how many are active."""
    verified = store.find_credentials(conn, player.username)
    assert verified is not None
    assert client.post("/users/me/password", json=BODY, headers=player.headers).status_code == 204
    create(conn, verified.password_hash)
    return count_active_sessions(conn)


def test_a_log_in_verified_before_the_change_creates_no_session(client: Any, conn: Conn, player: Player) -> None:
    def create(conn: Conn, verified: str) -> bool:
        return sessions.create_session_if_password(conn, uuid7(), player.id, verified, ttl=TTL)

    assert log_in_late(conn, player, client, create) == 1


def test_negative_control_without_the_condition_it_creates_one(client: Any, conn: Conn, player: Player) -> None:
    def create(conn: Conn, _verified: str) -> None:
        sessions.create_session(conn, uuid7(), player.id, ttl=TTL)

    assert log_in_late(conn, player, client, create) == 2


def test_a_change_waits_for_an_uncommitted_log_in_and_revokes_it(
    app: Flask, client: Any, conn: Conn, player: Player
) -> None:
    verified = store.find_credentials(conn, player.username)
    assert verified is not None
    with ThreadPoolExecutor(1) as threads:
        with db.transaction() as own:
            assert sessions.create_session_if_password(own, uuid7(), player.id, verified.password_hash, ttl=TTL)
            change = threads.submit(
                lambda: app.test_client().post("/users/me/password", json=BODY, headers=player.headers).status_code
            )
            wait_until_blocked(conn)
        assert change.result(20) == 204
    assert count_active_sessions(conn) == 1


@pytest.fixture
def rehash_before_session(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """Replace the hash by another of the same password, each time one was verified, up to n times.

    Returns the hashes that were verified.
    """

    def patch(n: int) -> list[str]:
        create = sessions.create_session_if_password
        verified_hashes: list[str] = []

        def rehash_and_create(conn: Conn, session_id: UUID, player_id: UUID, verified: str, **options: Any) -> bool:
            if len(verified_hashes) < n:
                store.replace_password_hash(conn, player_id, old=verified, new=passwords.hash_password(PASSWORD))
            verified_hashes.append(verified)
            return create(conn, session_id, player_id, verified, **options)

        monkeypatch.setattr(sessions, "create_session_if_password", rehash_and_create)
        return verified_hashes

    return patch


def test_a_log_in_is_verified_again_after_a_concurrent_rehash(
    client: Any, player: Player, rehash_before_session: Callable[[int], list[str]]
) -> None:
    verified_hashes = rehash_before_session(1)

    assert log_in(client, player).status_code == 200
    assert len(set(verified_hashes)) == len(verified_hashes) == 2


def test_a_log_in_gives_up_if_the_hash_keeps_changing(
    client: Any, conn: Conn, player: Player, rehash_before_session: Callable[[int], list[str]]
) -> None:
    verified_hashes = rehash_before_session(1_000)

    response = log_in(client, player)

    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert len(verified_hashes) == accounts.MAX_LOGIN_ATTEMPTS
    assert count_active_sessions(conn) == 1
