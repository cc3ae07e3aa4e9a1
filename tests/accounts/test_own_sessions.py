"""A player's own sessions: listed by device, with the hour of their last use, and revoked one by one."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from shared.accounts import sessions
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import uuid7
from tests.conftest import PASSWORD, Player
from tests.support.callers import bearer, make_staff, sign_in
from tests.support.concurrency import run_concurrently

PATH = "/users/me/sessions"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1"
DESKTOP = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36"


def this_hour() -> str:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0).isoformat().replace("+00:00", "Z")


def listed(client: Any, headers: dict[str, str], query: str = "") -> list[dict[str, Any]]:
    response = client.get(f"{PATH}{query}", headers=headers)
    assert response.status_code == 200, response.json
    return list(response.json["items"])


def log_in(client: Any, player: Player, user_agent: str) -> dict[str, str]:
    response = client.post(
        "/auth/login",
        json={"username": player.username, "password": PASSWORD},
        headers={"User-Agent": user_agent},
    )
    return bearer(response.json["access_token"])


def test_sessions_are_listed_by_device_newest_first(client: Any, player: Player, conn: Conn) -> None:
    phone, desktop = log_in(client, player, PHONE), log_in(client, player, DESKTOP)
    sign_in(client.application, conn)

    items = listed(client, phone)

    assert [(item["device"], item["current"]) for item in items] == [
        ("desktop", False),
        ("phone", True),
        ("other", False),
    ]
    assert {item["last_used_at"] for item in items} <= {this_hour()}
    assert all(item["created_at"] < item["expires_at"] for item in items)
    assert [item["current"] for item in listed(client, desktop)] == [True, False, False]
    assert b"iPhone" not in str(conn.execute("SELECT s::text FROM sessions s").fetchall()).encode()

    pages, query = [], "?limit=1"
    while query:
        page = client.get(f"{PATH}{query}", headers=phone).json
        pages += page["items"]
        query = f"?limit=1&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    assert pages == items
    assert client.get(f"{PATH}?cursor=x", headers=phone).status_code == 422


def test_guests_and_upgraded_guests_have_one_session(client: Any) -> None:
    guest = client.post("/auth/guest", headers={"User-Agent": PHONE}).json
    account = client.post(
        "/auth/upgrade", json={"username": "Ada", "password": PASSWORD}, headers=bearer(guest["access_token"])
    ).json
    (only,) = listed(client, bearer(account["access_token"]))
    assert (only["device"], only["current"]) == ("phone", True)


def test_a_revoked_session_ends_and_the_others_do_not(client: Any, player: Player, conn: Conn) -> None:
    phone = log_in(client, player, PHONE)
    (current, other) = listed(client, phone)

    assert client.delete(f"{PATH}/{other['id']}", headers=phone).status_code == 204

    assert client.get("/users/me", headers=player.headers).status_code == 401
    assert client.post("/auth/refresh", headers=bearer(player.refresh_token)).status_code == 401
    assert listed(client, phone) == [current]
    assert client.delete(f"{PATH}/{other['id']}", headers=phone).status_code == 404
    (entry,) = conn.execute("SELECT object_id, player_id FROM audit_log WHERE action = 'session.revoked'").fetchall()
    assert entry == (other["id"], player.id)
    assert client.delete(f"{PATH}/{current['id']}", headers=phone).status_code == 204
    assert client.get(PATH, headers=phone).status_code == 401


def test_only_own_active_sessions_can_be_revoked(app: Flask, client: Any, conn: Conn, player: Player) -> None:
    other, expired = sign_in(app, conn), uuid7()
    sessions.create_session(conn, expired, player.id, ttl=-timedelta(days=1))
    for session_id in (other.session_id, expired, uuid4(), "nonsense"):
        assert client.delete(f"{PATH}/{session_id}", headers=player.headers).status_code == 404
    assert client.get("/users/me", headers=other.headers).status_code == 200
    assert len(listed(client, player.headers)) == 1


def last_use(conn: Conn, session_id: UUID) -> tuple[datetime, int]:
    """Return the hour, and a number that changes with every write of the row."""
    row = exactly_one(
        conn.execute("SELECT last_used_at, xmin::text::bigint FROM sessions WHERE id = %s", (session_id,))
    )
    return row[0], row[1]


@pytest.mark.parametrize("path", ["/users/me", "{org}"])
def test_the_first_request_of_an_hour_is_the_only_write(app: Flask, client: Any, conn: Conn, path: str) -> None:
    """Both ways of authorizing a player record the use."""
    staff = make_staff(app, conn)
    player, url = staff.member, path.format(org=staff.path)
    conn.execute("UPDATE sessions SET last_used_at = now() - interval '3 hours' WHERE id = %s", (player.session_id,))

    def request() -> int:
        return int(app.test_client().get(url, headers=player.headers).status_code)

    assert set(run_concurrently([request] * 4)) == {200}

    used = last_use(conn, player.session_id)
    assert used[0].isoformat().replace("+00:00", "Z") == this_hour()
    for _ in range(3):
        assert request() == 200
    assert last_use(conn, player.session_id) == used


def test_a_revoked_session_is_not_used(app: Flask, client: Any, conn: Conn) -> None:
    player = sign_in(app, conn)
    conn.execute("UPDATE sessions SET last_used_at = now() - interval '3 hours' WHERE id = %s", (player.session_id,))
    sessions.revoke_session(conn, player.session_id, "logout")
    before = last_use(conn, player.session_id)
    assert client.get("/users/me", headers=player.headers).status_code == 401
    assert last_use(conn, player.session_id) == before
