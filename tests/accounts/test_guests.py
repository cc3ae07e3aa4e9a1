"""Guests: created with a generated username, and upgraded to an account without losing data."""

import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from shared.accounts import store
from shared.accounts.generated_names import ADJECTIVES, ANIMALS, guest_name
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.redemptions.rules import token_digest
from tests.conftest import PASSWORD
from tests.support.callers import bearer, sign_in
from tests.support.concurrency import Rendezvous, run_concurrently
from tests.support.factories import make_code, submit_scan
from workers.scans import judge_pending

ADA = {"username": "Ada", "password": PASSWORD, "email": "ada@example.com"}


def create_guest(client: Any, key: str | None = None) -> Any:
    return client.post("/auth/guest", headers={"Idempotency-Key": key} if key else None)


def test_a_guest_gets_a_session_and_a_generated_username(client: Any) -> None:
    response = create_guest(client)

    assert response.status_code == 201
    guest = response.json
    assert set(guest) == {"player_id", "username", "access_token", "refresh_token", "token_type", "expires_in"}
    profile = client.get("/users/me", headers=bearer(guest["access_token"])).json
    assert (profile["id"], profile["username"], profile["guest"]) == (guest["player_id"], guest["username"], True)
    assert client.post("/auth/refresh", headers=bearer(guest["refresh_token"])).status_code == 200


def test_generated_usernames_are_valid_and_differ() -> None:
    names = {guest_name() for _ in range(1_000)}

    assert len(names) == 1_000
    assert all(re.fullmatch(r"[a-z]+-[a-z]+-[a-z2-9]{7}", name) for name in names)
    assert max(map(len, ADJECTIVES)) + max(map(len, ANIMALS)) + len("--0123456") <= 32


def test_a_taken_generated_username_is_not_used_again(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["calm-otter-2222222", "Calm-Otter-2222222", "calm-otter-3333333"])
    monkeypatch.setattr(store, "guest_name", lambda: next(names))

    assert store.add_guest(conn, uuid7()) == "calm-otter-2222222"
    assert store.add_guest(conn, uuid7()) == "calm-otter-3333333"


@pytest.mark.parametrize("password", ["", "x" * 256, PASSWORD])
def test_a_guest_cannot_log_in_with_any_password(client: Any, password: str) -> None:
    username = create_guest(client).json["username"]

    response = client.post("/auth/login", json={"username": username, "password": password})

    assert (response.status_code, response.json["detail"]) == (401, "The username or the password is wrong.")


class TestIdempotencyKey:
    """A client that lost the response sends the request again."""

    def test_a_retry_returns_the_same_guest(self, client: Any, conn: Conn) -> None:
        key = str(uuid4())

        first, retry, upper_case = (
            create_guest(client, key),
            create_guest(client, key),
            create_guest(client, key.upper()),
        )

        assert [response.status_code for response in (first, retry, upper_case)] == [201] * 3
        assert len({response.json["player_id"] for response in (first, retry, upper_case)}) == 1
        assert len({response.json["username"] for response in (first, retry, upper_case)}) == 1
        assert client.get("/users/me", headers=bearer(retry.json["access_token"])).status_code == 200
        assert conn.execute("SELECT count(*) FROM players").fetchone() == (1,)

    def test_another_key_creates_another_guest(self, client: Any) -> None:
        assert (
            create_guest(client, str(uuid4())).json["player_id"] != create_guest(client, str(uuid4())).json["player_id"]
        )

    @pytest.mark.parametrize(
        "key", ["1", "guest", "a" * 36, "00000000-0000-1000-8000-000000000000", "d6b5d2fc-991f-4d7c-a171-eb3d6e271fb5 "]
    )
    def test_a_guessable_key_is_rejected(self, client: Any, conn: Conn, key: str) -> None:
        """Any client with the key gets a session of the guest."""
        response = create_guest(client, key)

        assert response.status_code == 422
        assert response.json["errors"][0]["loc"] == "header.Idempotency-Key"
        assert conn.execute("SELECT count(*) FROM players").fetchone() == (0,)

    def test_the_key_and_the_tokens_are_not_stored(self, client: Any, conn: Conn) -> None:
        key = str(uuid4())
        guest = create_guest(client, key).json

        stored = str(conn.execute("SELECT * FROM idempotency_keys").fetchall())

        assert guest["player_id"] in stored
        assert not any(secret in stored for secret in (key, guest["access_token"], guest["refresh_token"]))

    def test_the_key_gives_no_session_after_the_upgrade(self, client: Any) -> None:
        key = str(uuid4())
        guest = create_guest(client, key).json
        assert client.post("/auth/upgrade", json=ADA, headers=bearer(guest["access_token"])).status_code == 200

        assert create_guest(client, key).status_code == 409

    def test_concurrent_requests_create_one_guest(self, app: Flask, conn: Conn) -> None:
        key = str(uuid4())

        responses = run_concurrently([lambda: create_guest(app.test_client(), key)] * 6)

        statuses = {response.status_code for response in responses}
        assert 201 in statuses
        assert statuses <= {201, 409}
        assert conn.execute("SELECT count(*) FROM players").fetchone() == (1,)


class TestUpgrade:
    def test_the_player_and_all_their_data_remain(self, client: Any, conn: Conn) -> None:
        guest = create_guest(client).json
        player_id = UUID(guest["player_id"])
        submit_scan(conn, player_id, make_code(conn))
        judge_pending()
        body = {"item": "gem"}
        shown = client.post("/redemptions/token", json=body, headers=bearer(guest["access_token"])).json["token"]

        response = client.post("/auth/upgrade", json=ADA, headers=bearer(guest["access_token"]))

        assert response.status_code == 200
        assert (response.json["player_id"], response.json["username"]) == (guest["player_id"], "Ada")
        by_password = client.post("/auth/login", json={"username": "ada", "password": PASSWORD}).json
        for token in (response.json["access_token"], by_password["access_token"]):
            inventory = client.get(f"/player/{player_id}/inventory", headers=bearer(token)).json
            assert [(held["item"], held["quantity"]) for held in inventory["items"]] == [("gem", 1)]
            assert len(client.get(f"/player/{player_id}/history", headers=bearer(token)).json["scans"]) == 1
        holders = conn.execute("SELECT player_id FROM redemption_tokens WHERE digest = %s", (token_digest(shown),))
        assert holders.fetchall() == [(player_id,)]
        profile = client.get("/users/me", headers=bearer(response.json["access_token"])).json
        assert (profile["username"], profile["email"], profile["guest"]) == ("Ada", "ada@example.com", False)

    def test_this_session_gets_new_tokens_and_others_are_revoked(self, client: Any) -> None:
        key = str(uuid4())
        first, other = create_guest(client, key).json, create_guest(client, key).json

        upgraded = client.post("/auth/upgrade", json=ADA, headers=bearer(first["access_token"])).json

        assert client.get("/users/me", headers=bearer(first["access_token"])).status_code == 200
        assert client.get("/users/me", headers=bearer(other["access_token"])).status_code == 401
        assert client.post("/auth/refresh", headers=bearer(upgraded["refresh_token"])).status_code == 200
        assert client.post("/auth/refresh", headers=bearer(first["refresh_token"])).status_code == 401

    def test_only_guests_can_be_upgraded(self, client: Any) -> None:
        session = client.post("/auth/register", json=ADA).json
        for body in (ADA, ADA | {"username": "other"}):
            assert client.post("/auth/upgrade", json=body, headers=bearer(session["access_token"])).status_code == 409
        credentials = {"username": "Ada", "password": PASSWORD}
        assert client.post("/auth/login", json=credentials).json["player_id"] == session["player_id"]
        assert client.post("/auth/upgrade", json=ADA).status_code == 401

    def test_a_taken_username_leaves_the_guest_unchanged(self, client: Any) -> None:
        client.post("/auth/register", json=ADA)
        guest = create_guest(client).json

        response = client.post("/auth/upgrade", json=ADA | {"username": "aDA"}, headers=bearer(guest["access_token"]))

        assert response.status_code == 409
        profile = client.get("/users/me", headers=bearer(guest["access_token"])).json
        assert (profile["username"], profile["guest"]) == (guest["username"], True)

    def test_one_of_concurrent_upgrades_wins(self, app: Flask, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
        assert sorted(race(app, conn, monkeypatch, guarded=True)) == [200, 409]
        assert conn.execute("SELECT count(*) FROM credentials").fetchone() == (1,)
        ((username,),) = conn.execute("SELECT username FROM players").fetchall()
        assert username in ("first", "second")

    def test_negative_control_without_the_lock_one_upgrade_fails(
        self, app: Flask, conn: Conn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both pass the check, and the second violates the primary key of `credentials`."""
        assert sorted(race(app, conn, monkeypatch, guarded=False)) == [200, 500]


def race(app: Flask, conn: Conn, monkeypatch: pytest.MonkeyPatch, *, guarded: bool) -> list[int]:
    """Run two upgrades of one guest. Both have read the account before one of them continues."""
    guest, both_have_read = sign_in(app, conn), Rendezvous(patience=0.5 if guarded else 10)
    read = store.lock_account if guarded else store.get_account

    def read_and_wait(conn: Any, player_id: UUID) -> Any:
        account = read(conn, player_id)
        both_have_read.wait()
        return account

    monkeypatch.setattr(store, "lock_account", read_and_wait)

    def upgrade(username: str) -> int:
        body = ADA | {"username": username}
        return int(app.test_client().post("/auth/upgrade", json=body, headers=guest.headers).status_code)

    return run_concurrently([lambda: upgrade("first"), lambda: upgrade("second")])
