"""A password is changed by whoever knows it, and every other login ends with it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.accounts import passwords, store
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from tests.conftest import PASSWORD, Player
from tests.support.callers import bearer, sign_in
from tests.support.concurrency import wait_until_blocked
from web.api import accounts

NEW = "battery staple"
BODY = {"current_password": PASSWORD, "new_password": NEW}


def log_in(client: Any, player: Player, password: str = PASSWORD) -> Any:
    return client.post("/auth/login", json={"username": player.username, "password": password})


def test_from_the_answer_on_only_the_new_one_is_good_and_other_logins_have_ended(
    client: Any, conn: Conn, player: Player
) -> None:
    other = log_in(client, player).json

    assert client.post("/users/me/password", json=BODY, headers=player.headers).status_code == 204

    assert client.get("/users/me", headers=player.headers).status_code == 200
    assert client.post("/auth/refresh", headers=bearer(player.refresh_token)).status_code == 200
    assert client.get("/users/me", headers=bearer(other["access_token"])).status_code == 401
    assert client.post("/auth/refresh", headers=bearer(other["refresh_token"])).status_code == 401
    assert log_in(client, player).status_code == 401
    assert log_in(client, player, NEW).status_code == 200
    reasons = conn.execute("SELECT revoked_reason FROM sessions ORDER BY id").fetchall()
    assert reasons == [(None,), ("password",), (None,)]


def test_a_wrong_password_says_so_and_is_no_dead_token(client: Any, player: Player) -> None:
    refused = client.post("/users/me/password", json=BODY | {"current_password": "guess"}, headers=player.headers)

    assert (refused.status_code, refused.json["detail"]) == (403, "The current password is wrong.")
    assert log_in(client, player).status_code == 200


def test_a_guest_has_none_to_change(app: Flask, client: Any, conn: Conn) -> None:
    guest = sign_in(app, conn)

    for method, path, body in (
        ("POST", "/users/me/password", BODY),
        ("PATCH", "/users/me", {"username": "grace"}),
        ("PATCH", "/users/me", {"email": "grace@example.com"}),
    ):
        refused = client.open(path, method=method, json=body, headers=guest.headers)
        assert refused.status_code == 409
        assert "/auth/upgrade" in refused.json["detail"]


def test_of_two_changes_the_second_has_the_wrong_password(client: Any, player: Player) -> None:
    assert client.post("/users/me/password", json=BODY, headers=player.headers).status_code == 204
    assert client.post("/users/me/password", json=BODY, headers=player.headers).status_code == 403


def late_login(conn: Conn, player: Player, client: Any, begin: Callable[[Conn, str], object]) -> Any:
    """Somebody has had the old password checked, and the change is committed before their login begins."""
    found = store.find_credentials(conn, player.username)
    assert found is not None
    assert client.post("/users/me/password", json=BODY, headers=player.headers).status_code == 204
    begin(conn, found.password_hash)
    return conn.execute("SELECT count(*) FROM sessions WHERE revoked_at IS NULL").fetchone()


def test_a_login_by_the_old_password_that_comes_late_begins_nothing(client: Any, conn: Conn, player: Player) -> None:
    def begin(conn: Conn, checked: str) -> bool:
        return store.create_session_if_password(conn, uuid7(), player.id, checked, lasts=accounts._session_length())

    assert late_login(conn, player, client, begin) == (1,)


def test_negative_control_without_the_condition_it_outlives_the_change(client: Any, conn: Conn, player: Player) -> None:
    def begin(conn: Conn, checked: str) -> None:
        store.create_session(conn, uuid7(), player.id, lasts=accounts._session_length())

    assert late_login(conn, player, client, begin) == (2,)


def test_a_login_that_has_begun_and_is_not_committed_is_waited_for_and_ended(
    app: Flask, client: Any, conn: Conn, player: Player
) -> None:
    found = store.find_credentials(conn, player.username)
    assert found is not None
    with ThreadPoolExecutor(1) as threads:
        with db.transaction() as own:
            length = accounts._session_length()
            assert store.create_session_if_password(own, uuid7(), player.id, found.password_hash, lasts=length)
            changing = threads.submit(
                lambda: app.test_client().post("/users/me/password", json=BODY, headers=player.headers).status_code
            )
            wait_until_blocked(conn)
        assert changing.result(20) == 204
    assert conn.execute("SELECT count(*) FROM sessions WHERE revoked_at IS NULL").fetchone() == (1,)


def test_a_login_that_meets_a_renewed_hash_is_checked_again(
    client: Any, conn: Conn, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same password under another salt: who was checked against the old one is not sent away."""
    begin = store.create_session_if_password
    turns: list[str] = []

    def renewed_meanwhile(conn: Conn, family_id: UUID, player_id: UUID, checked: str, **options: Any) -> bool:
        if not turns:
            store.replace_password_hash(conn, player_id, old=checked, new=passwords.hash_password(PASSWORD))
        turns.append(checked)
        return begin(conn, family_id, player_id, checked, **options)

    monkeypatch.setattr(store, "create_session_if_password", renewed_meanwhile)

    assert log_in(client, player).status_code == 200
    assert len(turns) == 2
