"""Guests: at once, under a made-up name, and for as long as they like; then an account with all that was theirs."""

import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from shared.accounts import store
from shared.accounts.generated_names import ADJECTIVES, ANIMALS, guest_name
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from tests.conftest import PASSWORD
from tests.support.callers import bearer, sign_in
from tests.support.concurrency import Rendezvous, run_concurrently
from tests.support.factories import make_code, submit_scan
from workers.scans import judge_pending

ADA = {"username": "Ada", "password": PASSWORD, "email": "ada@example.com"}


def begin(client: Any, key: str | None = None) -> Any:
    return client.post("/auth/guest", headers={"Idempotency-Key": key} if key else None)


def test_a_guest_is_in_at_once_under_a_name_of_the_usual_form(client: Any) -> None:
    answer = begin(client)

    assert answer.status_code == 201
    told = answer.json
    assert set(told) == {"player_id", "username", "access_token", "refresh_token", "token_type", "expires_in"}
    shown = client.get("/users/me", headers=bearer(told["access_token"])).json
    assert (shown["id"], shown["username"], shown["guest"]) == (told["player_id"], told["username"], True)
    assert client.post("/auth/refresh", headers=bearer(told["refresh_token"])).status_code == 200


def test_names_fit_and_hardly_ever_meet() -> None:
    names = {guest_name() for _ in range(1_000)}

    assert len(names) == 1_000
    assert all(re.fullmatch(r"[a-z]+-[a-z]+-[a-z2-9]{7}", name) for name in names)
    assert max(map(len, ADJECTIVES)) + max(map(len, ANIMALS)) + len("--0123456") <= 32


def test_a_name_that_is_taken_is_not_given_again(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["calm-otter-2222222", "Calm-Otter-2222222", "calm-otter-3333333"])
    monkeypatch.setattr(store, "guest_name", lambda: next(names))

    assert store.add_guest(conn, uuid7()) == "calm-otter-2222222"
    assert store.add_guest(conn, uuid7()) == "calm-otter-3333333"


@pytest.mark.parametrize("password", ["", "x" * 256, PASSWORD])
def test_a_guest_cannot_log_in_with_any_password(client: Any, password: str) -> None:
    username = begin(client).json["username"]

    refused = client.post("/auth/login", json={"username": username, "password": password})

    assert (refused.status_code, refused.json["detail"]) == (401, "The username or the password is wrong.")


class TestUnderAKey:
    """A client that lost the answer asks again."""

    def test_a_retry_is_the_same_guest(self, client: Any, conn: Conn) -> None:
        key = str(uuid4())

        first, again, shouted = begin(client, key), begin(client, key), begin(client, key.upper())

        assert [each.status_code for each in (first, again, shouted)] == [201] * 3
        assert len({each.json["player_id"] for each in (first, again, shouted)}) == 1
        assert len({each.json["username"] for each in (first, again, shouted)}) == 1
        assert client.get("/users/me", headers=bearer(again.json["access_token"])).status_code == 200
        assert conn.execute("SELECT count(*) FROM players").fetchone() == (1,)

    def test_another_key_is_another_guest(self, client: Any) -> None:
        assert begin(client, str(uuid4())).json["player_id"] != begin(client, str(uuid4())).json["player_id"]

    @pytest.mark.parametrize(
        "key", ["1", "guest", "a" * 36, "00000000-0000-1000-8000-000000000000", "d6b5d2fc-991f-4d7c-a171-eb3d6e271fb5 "]
    )
    def test_a_key_that_somebody_might_guess_is_refused(self, client: Any, conn: Conn, key: str) -> None:
        """It is all that stands between a stranger and the guest."""
        refused = begin(client, key)

        assert refused.status_code == 422
        assert refused.json["errors"][0]["loc"] == "header.Idempotency-Key"
        assert conn.execute("SELECT count(*) FROM players").fetchone() == (0,)

    def test_whoever_reads_the_database_does_not_read_keys(self, client: Any, conn: Conn) -> None:
        key = str(uuid4())
        told = begin(client, key).json

        kept = str(conn.execute("SELECT * FROM idempotency_keys").fetchall())

        assert told["player_id"] in kept
        assert not any(secret in kept for secret in (key, told["access_token"], told["refresh_token"]))

    def test_a_key_never_opens_the_account_that_the_guest_became(self, client: Any) -> None:
        key = str(uuid4())
        guest = begin(client, key).json
        assert client.post("/auth/upgrade", json=ADA, headers=bearer(guest["access_token"])).status_code == 200

        assert begin(client, key).status_code == 409

    def test_at_once_one_guest_is_made(self, app: Flask, conn: Conn) -> None:
        key = str(uuid4())

        answers = run_concurrently([lambda: begin(app.test_client(), key)] * 6)

        assert {answer.status_code for answer in answers} <= {201, 409}
        assert conn.execute("SELECT count(*) FROM players").fetchone() == (1,)


class TestUpgrade:
    def test_it_is_the_same_player_with_all_that_is_theirs(self, client: Any, conn: Conn) -> None:
        guest = begin(client).json
        player_id = UUID(guest["player_id"])
        submit_scan(conn, player_id, make_code(conn))
        judge_pending()

        answer = client.post("/auth/upgrade", json=ADA, headers=bearer(guest["access_token"]))

        assert answer.status_code == 200
        assert (answer.json["player_id"], answer.json["username"]) == (guest["player_id"], "Ada")
        by_password = client.post("/auth/login", json={"username": "ada", "password": PASSWORD}).json
        for token in (answer.json["access_token"], by_password["access_token"]):
            inventory = client.get(f"/player/{player_id}/inventory", headers=bearer(token)).json
            assert inventory["items"] == [{"item": "gem", "quantity": 1}]
            assert len(client.get(f"/player/{player_id}/history", headers=bearer(token)).json["scans"]) == 1
        shown = client.get("/users/me", headers=bearer(answer.json["access_token"])).json
        assert (shown["username"], shown["email"], shown["guest"]) == ("Ada", "ada@example.com", False)

    def test_this_login_goes_on_with_a_new_pair_and_others_end(self, client: Any) -> None:
        key = str(uuid4())
        first, other = begin(client, key).json, begin(client, key).json

        now = client.post("/auth/upgrade", json=ADA, headers=bearer(first["access_token"])).json

        assert client.get("/users/me", headers=bearer(first["access_token"])).status_code == 200
        assert client.get("/users/me", headers=bearer(other["access_token"])).status_code == 401
        assert client.post("/auth/refresh", headers=bearer(now["refresh_token"])).status_code == 200
        assert client.post("/auth/refresh", headers=bearer(first["refresh_token"])).status_code == 401  # used up

    def test_only_a_guest_is_upgraded_and_only_once(self, client: Any) -> None:
        session = client.post("/auth/register", json=ADA).json
        for body in (ADA, ADA | {"username": "other"}):
            assert client.post("/auth/upgrade", json=body, headers=bearer(session["access_token"])).status_code == 409
        assert client.post("/auth/login", json=ADA | {"email": None}).status_code in (200, 422)
        assert client.post("/auth/upgrade", json=ADA).status_code == 401

    def test_a_name_that_is_taken_leaves_the_guest_as_they_are(self, client: Any) -> None:
        client.post("/auth/register", json=ADA)
        guest = begin(client).json

        refused = client.post("/auth/upgrade", json=ADA | {"username": "aDA"}, headers=bearer(guest["access_token"]))

        assert refused.status_code == 409
        shown = client.get("/users/me", headers=bearer(guest["access_token"])).json
        assert (shown["username"], shown["guest"]) == (guest["username"], True)

    def test_of_racing_upgrades_one_wins(self, app: Flask, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
        assert sorted(race(app, conn, monkeypatch, guarded=True)) == [200, 409]
        assert conn.execute("SELECT count(*) FROM credentials").fetchone() == (1,)
        won = conn.execute("SELECT username FROM players").fetchall()
        assert len(won) == 1
        assert won[0][0] in ("first", "second")

    def test_negative_control_without_the_lock_both_are_let_through(
        self, app: Flask, conn: Conn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And only the table's key, of which nobody is told, stands between them."""
        assert sorted(race(app, conn, monkeypatch, guarded=False)) == [200, 500]


def race(app: Flask, conn: Conn, monkeypatch: pytest.MonkeyPatch, *, guarded: bool) -> list[int]:
    """Two requests of one guest, both past the first look before either goes on."""
    guest, meeting = sign_in(app, conn), Rendezvous(patience=0.5 if guarded else 10)
    look = store.lock_account if guarded else store.get_account

    def look_and_meet(conn: Any, player_id: UUID) -> Any:
        seen = look(conn, player_id)
        meeting.wait()
        return seen

    monkeypatch.setattr(store, "lock_account", look_and_meet)

    def upgrade(username: str) -> int:
        body = ADA | {"username": username}
        return int(app.test_client().post("/auth/upgrade", json=body, headers=guest.headers).status_code)

    return run_concurrently([lambda: upgrade("first"), lambda: upgrade("second")])
