"""Register, log in, refresh, log out over HTTP."""

from collections.abc import Callable
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from argon2 import PasswordHasher
from flask import Flask, Response

from shared.accounts import passwords
from shared.infra.db import Conn
from tests.support.callers import bearer, sign_in
from tests.support.concurrency import run_concurrently
from web.http.idempotency import run_once

PASSWORD = "correct horse battery"
ADA = {"username": "Ada", "password": PASSWORD, "email": "ada@example.com"}


def test_registering_signs_in(client: Any, conn: Conn) -> None:
    answer = client.post("/auth/register", json=ADA)

    assert answer.status_code == 201
    told = answer.json
    assert set(told) == {"player_id", "username", "access_token", "refresh_token", "token_type", "expires_in"}
    assert (told["username"], told["token_type"], told["expires_in"]) == ("Ada", "Bearer", 900)
    assert client.get("/api/organizations", headers=bearer(told["access_token"])).status_code == 200
    stored = conn.execute("SELECT password_hash, email FROM credentials").fetchone()
    assert stored is not None
    assert stored[0].startswith("$argon2id$")
    assert stored[1] == "ada@example.com"


def test_a_taken_name_is_a_conflict_in_any_case_of_letters(client: Any) -> None:
    client.post("/auth/register", json=ADA)

    assert client.post("/auth/register", json=ADA | {"username": "aDA"}).status_code == 409


def test_logging_in_takes_the_name_in_any_case_of_letters(client: Any) -> None:
    client.post("/auth/register", json=ADA)

    answer = client.post("/auth/login", json={"username": "ADA", "password": PASSWORD})

    assert answer.status_code == 200
    assert answer.json["username"] == "Ada"


@pytest.mark.parametrize("username", ["Ada", "nobody", "no such form of a name", ""])
def test_a_wrong_login_says_the_same_whether_or_not_the_name_exists(client: Any, username: str) -> None:
    client.post("/auth/register", json=ADA)

    answer = client.post("/auth/login", json={"username": username, "password": "wrong"})

    assert answer.status_code == 401
    assert answer.json["detail"] == "The username or the password is wrong."
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_logging_in_renews_a_hash_made_with_other_parameters(
    client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post("/auth/register", json=ADA)
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))

    for _ in range(2):
        assert client.post("/auth/login", json={"username": "Ada", "password": PASSWORD}).status_code == 200

    stored = conn.execute("SELECT password_hash FROM credentials").fetchone()
    assert stored is not None
    assert "m=16,t=2" in stored[0]


def test_refreshing_gives_a_new_pair(client: Any) -> None:
    first = client.post("/auth/register", json=ADA).json

    second = client.post("/auth/refresh", headers=bearer(first["refresh_token"])).json
    third = client.post("/auth/refresh", headers=bearer(second["refresh_token"]))

    assert third.status_code == 200
    assert second["username"] == "Ada"
    assert client.get("/api/organizations", headers=bearer(first["access_token"])).status_code == 200


def test_a_used_refresh_token_ends_its_whole_login_and_no_other(client: Any, conn: Conn) -> None:
    stolen = client.post("/auth/register", json=ADA).json
    other = client.post("/auth/login", json={"username": "Ada", "password": PASSWORD}).json
    newest = client.post("/auth/refresh", headers=bearer(stolen["refresh_token"])).json

    assert client.post("/auth/refresh", headers=bearer(stolen["refresh_token"])).status_code == 401

    assert client.post("/auth/refresh", headers=bearer(newest["refresh_token"])).status_code == 401
    assert client.get("/api/organizations", headers=bearer(newest["access_token"])).status_code == 401
    assert client.get("/api/organizations", headers=bearer(other["access_token"])).status_code == 200
    reasons = conn.execute("SELECT revoked_reason FROM sessions ORDER BY created_at").fetchall()
    assert reasons == [("reuse",), (None,)]


def test_of_twenty_refreshes_with_one_token_one_wins_and_the_login_ends(app: Flask, conn: Conn) -> None:
    ada = sign_in(app, conn)

    def refresh() -> Any:
        return app.test_client().post("/auth/refresh", headers=bearer(ada.refresh_token))

    answers = run_concurrently([refresh] * 20)

    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19
    assert conn.execute("SELECT generation, revoked_reason FROM sessions").fetchall() == [(1, "reuse")]
    won = next(answer.json for answer in answers if answer.status_code == 200)
    assert app.test_client().get("/api/organizations", headers=bearer(won["access_token"])).status_code == 401


def test_after_logging_out_neither_token_is_good(client: Any) -> None:
    told = client.post("/auth/register", json=ADA).json

    answer = client.post("/auth/logout", headers=bearer(told["access_token"]))

    assert (answer.status_code, answer.data) == (204, b"")
    assert client.get("/api/organizations", headers=bearer(told["access_token"])).status_code == 401
    assert client.post("/auth/refresh", headers=bearer(told["refresh_token"])).status_code == 401
    assert client.post("/auth/logout", headers=bearer(told["access_token"])).status_code == 401
    assert client.post("/auth/login", json={"username": "Ada", "password": PASSWORD}).status_code == 200


class TestRegisteringUnderAKey:
    """A client that lost the answer sends the same request again."""

    KEY = {"Idempotency-Key": "lost-answer"}  # noqa: RUF012 - never changed

    def test_a_retry_finds_the_player_there_and_logs_in(self, client: Any) -> None:
        first = client.post("/auth/register", json=ADA, headers=self.KEY)
        again = client.post("/auth/register", json=ADA, headers=self.KEY)

        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json["player_id"] == again.json["player_id"]
        assert first.json["refresh_token"] != again.json["refresh_token"]
        for told in (first.json, again.json):
            assert client.get("/api/organizations", headers=bearer(told["access_token"])).status_code == 200

    def test_another_body_is_refused(self, client: Any) -> None:
        client.post("/auth/register", json=ADA, headers=self.KEY)

        answer = client.post("/auth/register", json=ADA | {"password": "another password"}, headers=self.KEY)

        assert answer.status_code == 422
        assert answer.json["errors"][0]["loc"] == "header.Idempotency-Key"

    def test_a_key_is_good_for_one_name_only(self, client: Any) -> None:
        """Nobody is signed in, so a key that two people happen to choose must not bring them together."""
        client.post("/auth/register", json=ADA, headers=self.KEY)

        answer = client.post("/auth/register", json=ADA | {"username": "bob"}, headers=self.KEY)

        assert answer.status_code == 201
        assert answer.json["username"] == "bob"

    def test_neither_tokens_nor_password_are_kept(self, client: Any, conn: Conn) -> None:
        told = client.post("/auth/register", json=ADA, headers=self.KEY).json

        kept = str(conn.execute("SELECT * FROM idempotency_keys").fetchall())

        assert told["player_id"] in kept
        assert not any(secret in kept for secret in (told["access_token"], told["refresh_token"], PASSWORD))

    def test_a_retry_with_a_password_that_was_changed_since_is_refused(self, client: Any, conn: Conn) -> None:
        client.post("/auth/register", json=ADA, headers=self.KEY)
        conn.execute("UPDATE credentials SET password_hash = %s", (passwords.hash_password("changed since"),))

        assert client.post("/auth/register", json=ADA, headers=self.KEY).status_code == 401

    def test_at_once_one_player_is_made(self, app: Flask, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
        together = Barrier(4)  # past the hashing, which takes turns

        def answer_together(owner: UUID, create: Callable[[], Any]) -> Response:
            together.wait(10)
            return run_once(owner, create)

        monkeypatch.setattr("web.api.accounts.run_once", answer_together)

        def register() -> int:
            return int(app.test_client().post("/auth/register", json=ADA, headers=self.KEY).status_code)

        statuses = set(run_concurrently([register] * 4))

        assert 201 in statuses
        assert statuses <= {201, 409}
        assert conn.execute("SELECT count(*) FROM players").fetchone() == (1,)
