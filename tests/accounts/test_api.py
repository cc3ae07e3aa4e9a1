"""Registration, log-in, refresh and log-out over HTTP."""

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


def test_register_creates_an_account_and_a_session(client: Any, conn: Conn) -> None:
    response = client.post("/auth/register", json=ADA)

    assert response.status_code == 201
    session = response.json
    assert set(session) == {"player_id", "username", "access_token", "refresh_token", "token_type", "expires_in"}
    assert (session["username"], session["token_type"], session["expires_in"]) == ("Ada", "Bearer", 900)
    assert client.get("/api/organizations", headers=bearer(session["access_token"])).status_code == 200
    stored = conn.execute("SELECT password_hash, email FROM credentials").fetchone()
    assert stored is not None
    assert stored[0].startswith("$argon2id$")
    assert stored[1] == "ada@example.com"


def test_a_taken_username_is_409_in_any_letter_case(client: Any) -> None:
    client.post("/auth/register", json=ADA)

    assert client.post("/auth/register", json=ADA | {"username": "aDA"}).status_code == 409


def test_log_in_accepts_the_username_in_any_letter_case(client: Any) -> None:
    client.post("/auth/register", json=ADA)

    response = client.post("/auth/login", json={"username": "ADA", "password": PASSWORD})

    assert response.status_code == 200
    assert response.json["username"] == "Ada"


@pytest.mark.parametrize("username", ["Ada", "unknown", "not the form of a username", ""])
def test_a_wrong_log_in_gets_the_same_401_for_any_username(client: Any, username: str) -> None:
    client.post("/auth/register", json=ADA)

    response = client.post("/auth/login", json={"username": username, "password": "wrong"})

    assert response.status_code == 401
    assert response.json["detail"] == "The username or the password is wrong."
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_log_in_replaces_a_hash_with_other_parameters(client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    client.post("/auth/register", json=ADA)
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))

    for _ in range(2):
        assert client.post("/auth/login", json={"username": "Ada", "password": PASSWORD}).status_code == 200

    stored = conn.execute("SELECT password_hash FROM credentials").fetchone()
    assert stored is not None
    assert "m=16,t=2" in stored[0]


def test_refresh_returns_a_new_pair(client: Any) -> None:
    first = client.post("/auth/register", json=ADA).json

    second = client.post("/auth/refresh", headers=bearer(first["refresh_token"])).json
    third = client.post("/auth/refresh", headers=bearer(second["refresh_token"]))

    assert third.status_code == 200
    assert second["username"] == "Ada"
    assert client.get("/api/organizations", headers=bearer(first["access_token"])).status_code == 200


def test_a_used_refresh_token_revokes_its_session_only(client: Any, conn: Conn) -> None:
    stolen = client.post("/auth/register", json=ADA).json
    other = client.post("/auth/login", json={"username": "Ada", "password": PASSWORD}).json
    newest = client.post("/auth/refresh", headers=bearer(stolen["refresh_token"])).json

    assert client.post("/auth/refresh", headers=bearer(stolen["refresh_token"])).status_code == 401

    assert client.post("/auth/refresh", headers=bearer(newest["refresh_token"])).status_code == 401
    assert client.get("/api/organizations", headers=bearer(newest["access_token"])).status_code == 401
    assert client.get("/api/organizations", headers=bearer(other["access_token"])).status_code == 200
    reasons = conn.execute("SELECT revoked_reason FROM sessions ORDER BY created_at").fetchall()
    assert reasons == [("reuse",), (None,)]


def test_concurrent_refreshes_with_one_token_revoke_the_session(app: Flask, conn: Conn) -> None:
    ada = sign_in(app, conn)

    def refresh() -> Any:
        return app.test_client().post("/auth/refresh", headers=bearer(ada.refresh_token))

    responses = run_concurrently([refresh] * 20)

    assert sorted(response.status_code for response in responses) == [200] + [401] * 19
    assert conn.execute("SELECT generation, revoked_reason FROM sessions").fetchall() == [(1, "reuse")]
    winner = next(response.json for response in responses if response.status_code == 200)
    assert app.test_client().get("/api/organizations", headers=bearer(winner["access_token"])).status_code == 401


def test_log_out_ends_both_tokens(client: Any) -> None:
    session = client.post("/auth/register", json=ADA).json

    response = client.post("/auth/logout", headers=bearer(session["access_token"]))

    assert (response.status_code, response.data) == (204, b"")
    assert client.get("/api/organizations", headers=bearer(session["access_token"])).status_code == 401
    assert client.post("/auth/refresh", headers=bearer(session["refresh_token"])).status_code == 401
    assert client.post("/auth/logout", headers=bearer(session["access_token"])).status_code == 401
    assert client.post("/auth/login", json={"username": "Ada", "password": PASSWORD}).status_code == 200


class TestIdempotencyKey:
    """A client that lost the response sends the same request again."""

    KEY = {"Idempotency-Key": "lost-response"}  # noqa: RUF012 - a constant

    def test_a_retry_logs_in_to_the_created_account(self, client: Any) -> None:
        first = client.post("/auth/register", json=ADA, headers=self.KEY)
        retry = client.post("/auth/register", json=ADA, headers=self.KEY)

        assert (first.status_code, retry.status_code) == (201, 201)
        assert first.json["player_id"] == retry.json["player_id"]
        assert first.json["refresh_token"] != retry.json["refresh_token"]
        for session in (first.json, retry.json):
            assert client.get("/api/organizations", headers=bearer(session["access_token"])).status_code == 200

    def test_a_retry_with_another_body_is_422(self, client: Any) -> None:
        client.post("/auth/register", json=ADA, headers=self.KEY)

        response = client.post("/auth/register", json=ADA | {"password": "another password"}, headers=self.KEY)

        assert response.status_code == 422
        assert response.json["errors"][0]["loc"] == "header.Idempotency-Key"

    def test_the_same_key_with_another_username_creates_another_account(self, client: Any) -> None:
        """Two clients without a session may choose the same key. They must not share an account."""
        client.post("/auth/register", json=ADA, headers=self.KEY)

        response = client.post("/auth/register", json=ADA | {"username": "bob"}, headers=self.KEY)

        assert response.status_code == 201
        assert response.json["username"] == "bob"

    def test_neither_tokens_nor_password_are_stored(self, client: Any, conn: Conn) -> None:
        session = client.post("/auth/register", json=ADA, headers=self.KEY).json

        stored = str(conn.execute("SELECT * FROM idempotency_keys").fetchall())

        assert session["player_id"] in stored
        assert not any(secret in stored for secret in (session["access_token"], session["refresh_token"], PASSWORD))

    def test_a_retry_after_a_password_change_is_401(self, client: Any, conn: Conn) -> None:
        client.post("/auth/register", json=ADA, headers=self.KEY)
        conn.execute("UPDATE credentials SET password_hash = %s", (passwords.hash_password("changed since"),))

        assert client.post("/auth/register", json=ADA, headers=self.KEY).status_code == 401

    def test_concurrent_requests_create_one_player(
        self, app: Flask, conn: Conn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The requests meet after the hashing, which is serialized.
        hashed = Barrier(4)

        def wait_and_run_once(owner: UUID, create: Callable[[], Any]) -> Response:
            hashed.wait(10)
            return run_once(owner, create)

        monkeypatch.setattr("web.api.accounts.run_once", wait_and_run_once)

        def register() -> int:
            return int(app.test_client().post("/auth/register", json=ADA, headers=self.KEY).status_code)

        statuses = set(run_concurrently([register] * 4))

        assert 201 in statuses
        assert statuses <= {201, 409}
        assert conn.execute("SELECT count(*) FROM players").fetchone() == (1,)
