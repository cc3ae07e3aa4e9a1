"""One's own account over HTTP."""

from datetime import datetime
from typing import Any

from flask import Flask

from shared.analytics.calendar import zone_names
from shared.infra.db import Conn
from tests.conftest import PASSWORD
from tests.support.callers import bearer, give_password, sign_in


def test_what_was_registered_is_shown_to_its_player(client: Any) -> None:
    body = {"username": "Ada", "password": "correct horse battery", "email": "ada@example.com"}
    session = client.post("/auth/register", json=body).json

    told = client.get("/users/me", headers=bearer(session["access_token"]))

    assert told.status_code == 200
    assert datetime.fromisoformat(told.json["created_at"]).tzinfo is not None
    assert told.json == {
        "id": session["player_id"],
        "username": "Ada",
        "email": "ada@example.com",
        "timezone": "UTC",
        "guest": False,
        "created_at": told.json["created_at"],
    }


def test_the_time_zone_is_changed_for_oneself_alone(app: Flask, client: Any, conn: Conn) -> None:
    ada, grace = sign_in(app, conn), sign_in(app, conn)
    before = client.get("/users/me", headers=ada.headers).json
    assert before["email"] is None

    changed = client.patch("/users/me", json={"timezone": "Europe/Amsterdam"}, headers=ada.headers)

    assert (changed.status_code, changed.json) == (200, before | {"timezone": "Europe/Amsterdam"})
    assert client.get("/users/me", headers=ada.headers).json == changed.json
    assert client.patch("/users/me", json={}, headers=ada.headers).json == changed.json
    assert client.get("/users/me", headers=grace.headers).json["timezone"] == "UTC"


def test_what_is_not_ones_own_to_set(app: Flask, client: Any, conn: Conn) -> None:
    ada = sign_in(app, conn)
    wrong = ("id", str(ada.id)), ("guest", False), ("timezone", "Nowhere"), ("timezone", None), ("username", None)
    for field, value in wrong:
        refused = client.patch("/users/me", json={field: value}, headers=ada.headers)
        assert refused.status_code == 422
        assert refused.json["errors"][0]["loc"] == f"body.{field}"


def test_nobody_has_no_account(client: Any) -> None:
    assert client.get("/users/me").status_code == 401
    assert client.patch("/users/me", json={"timezone": "UTC"}).status_code == 401


def test_every_zone_that_is_taken_can_be_stored(conn: Conn) -> None:
    conn.execute(
        "INSERT INTO players (username, timezone) SELECT 'zone' || place, name "
        "FROM unnest(%s::text[]) WITH ORDINALITY AS given (name, place)",
        (sorted(zone_names()),),
    )


def test_name_and_address_are_changed_and_the_address_taken_away(app: Flask, client: Any, conn: Conn) -> None:
    ada, grace = sign_in(app, conn, "ada"), sign_in(app, conn, "grace")
    for person in (ada, grace):
        give_password(conn, person.id, PASSWORD)

    def change(**body: Any) -> Any:
        return client.patch("/users/me", json=body, headers=ada.headers)

    named = change(username="ADA", email="ada@example.com")
    assert (named.json["username"], named.json["email"]) == ("ADA", "ada@example.com")
    assert change(timezone="Europe/Amsterdam").json["email"] == "ada@example.com"
    assert change(username="lovelace", email=None).json["email"] is None
    assert change(username="Grace").status_code == 409
    assert client.get("/users/me", headers=ada.headers).json["username"] == "lovelace"
    session = client.post("/auth/login", json={"username": "Lovelace", "password": PASSWORD})
    assert session.json["player_id"] == str(ada.id)


def test_what_is_refused_changes_nothing(app: Flask, client: Any, conn: Conn) -> None:
    ada = sign_in(app, conn, "ada")
    give_password(conn, ada.id, PASSWORD)
    sign_in(app, conn, "grace")

    body = {"username": "grace", "email": "ada@example.com", "timezone": "Europe/Amsterdam"}
    assert client.patch("/users/me", json=body, headers=ada.headers).status_code == 409

    told = client.get("/users/me", headers=ada.headers).json
    assert (told["username"], told["email"], told["timezone"]) == ("ada", None, "UTC")
