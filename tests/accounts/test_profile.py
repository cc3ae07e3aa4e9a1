"""The caller's own account over HTTP."""

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.analytics.calendar import zone_names
from shared.infra.db import Conn
from tests.conftest import PASSWORD
from tests.support.callers import bearer, give_password, sign_in


def test_get_returns_the_registered_account(client: Any) -> None:
    body = {"username": "Ada", "password": "correct horse battery", "email": "ada@example.com"}
    session = client.post("/auth/register", json=body).json

    response = client.get("/users/me", headers=bearer(session["access_token"]))

    assert response.status_code == 200
    assert datetime.fromisoformat(response.json["created_at"]).tzinfo is not None
    assert response.json == {
        "id": session["player_id"],
        "username": "Ada",
        "email": "ada@example.com",
        "timezone": "UTC",
        "guest": False,
        "created_at": response.json["created_at"],
    }


def test_patch_changes_the_time_zone_of_the_caller_only(app: Flask, client: Any, conn: Conn) -> None:
    ada, grace = sign_in(app, conn), sign_in(app, conn)
    before = client.get("/users/me", headers=ada.headers).json
    assert before["email"] is None

    changed = client.patch("/users/me", json={"timezone": "Europe/Amsterdam"}, headers=ada.headers)

    assert (changed.status_code, changed.json) == (200, before | {"timezone": "Europe/Amsterdam"})
    assert client.get("/users/me", headers=ada.headers).json == changed.json
    assert client.patch("/users/me", json={}, headers=ada.headers).json == changed.json
    assert client.get("/users/me", headers=grace.headers).json["timezone"] == "UTC"


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", str(UUID(int=1))), ("guest", False), ("timezone", "Nowhere"), ("timezone", None), ("username", None)],
)
def test_patch_rejects_read_only_fields_and_invalid_values(
    app: Flask, client: Any, conn: Conn, field: str, value: object
) -> None:
    response = client.patch("/users/me", json={field: value}, headers=sign_in(app, conn).headers)

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == f"body.{field}"


def test_without_credentials_get_and_patch_are_401(client: Any) -> None:
    assert client.get("/users/me").status_code == 401
    assert client.patch("/users/me", json={"timezone": "UTC"}).status_code == 401


def test_postgresql_accepts_every_time_zone(conn: Conn) -> None:
    conn.execute(
        "INSERT INTO players (username, timezone) SELECT 'zone' || number, name "
        "FROM unnest(%s::text[]) WITH ORDINALITY AS zones (name, number)",
        (sorted(zone_names()),),
    )


def test_patch_changes_username_and_email_and_removes_the_email(app: Flask, client: Any, conn: Conn) -> None:
    ada, grace = sign_in(app, conn, "ada"), sign_in(app, conn, "grace")
    for player in (ada, grace):
        give_password(conn, player.id, PASSWORD)

    def change(**body: Any) -> Any:
        return client.patch("/users/me", json=body, headers=ada.headers)

    both = change(username="ADA", email="ada@example.com")
    assert (both.json["username"], both.json["email"]) == ("ADA", "ada@example.com")
    assert change(timezone="Europe/Amsterdam").json["email"] == "ada@example.com"
    assert change(username="lovelace", email=None).json["email"] is None
    assert change(username="Grace").status_code == 409
    assert client.get("/users/me", headers=ada.headers).json["username"] == "lovelace"
    session = client.post("/auth/login", json={"username": "Lovelace", "password": PASSWORD})
    assert session.json["player_id"] == str(ada.id)


def test_a_rejected_patch_changes_nothing(app: Flask, client: Any, conn: Conn) -> None:
    ada = sign_in(app, conn, "ada")
    give_password(conn, ada.id, PASSWORD)
    sign_in(app, conn, "grace")

    body = {"username": "grace", "email": "ada@example.com", "timezone": "Europe/Amsterdam"}
    assert client.patch("/users/me", json=body, headers=ada.headers).status_code == 409

    profile = client.get("/users/me", headers=ada.headers).json
    assert (profile["username"], profile["email"], profile["timezone"]) == ("ada", None, "UTC")
