"""The requests of the scan game's phone app: a form as log-in, and the tables of the seed schema."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from shared.infra.db import Conn, exactly_one
from tests.conftest import PASSWORD, Player
from tests.support.callers import SignedInPlayer, Staff, bearer
from tests.support.factories import list_items, make_code, number_events
from workers import analytics
from workers.scans import judge_pending

FORM = {"username": "explorer_1x", "password": PASSWORD}


def test_phone_app_logs_in_with_a_form(client: Any, register: Callable[..., Player]) -> None:
    """The app sends no grant type. Its API has the field names of RFC 6749, section 5.1."""
    player = register(FORM["username"])

    response = client.post("/auth/login", data=FORM)

    assert response.status_code == 200
    assert {"access_token", "token_type", "expires_in", "refresh_token"} <= response.json.keys()
    assert response.headers["Cache-Control"] == "no-store"
    profile = client.get("/users/me", headers=bearer(response.json["access_token"])).json
    assert profile["username"] == player.username


def test_oauth_client_logs_in(client: Any, register: Callable[..., Player]) -> None:
    """Parameters that the server does not know are ignored (RFC 6749, section 3.2)."""
    register(FORM["username"])
    grant = FORM | {"grant_type": "password", "scope": "", "client_id": "string", "client_secret": "x"}
    response = client.post("/auth/login", data=grant, headers={"Authorization": "Basic c3RyaW5nOng="})
    assert (response.status_code, response.json["token_type"]) == (200, "Bearer")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        (FORM | {"password": "wrong horse"}, 401, "invalid_grant"),
        (FORM | {"username": "unknown"}, 401, "invalid_grant"),
        (FORM | {"grant_type": "client_credentials"}, 400, "unsupported_grant_type"),
        ({"username": "explorer_1x"}, 400, "invalid_request"),
        ({}, 400, "invalid_request"),
        (FORM | {"username": ["ada", "explorer_1x"]}, 400, "invalid_request"),
        (FORM | {"username": "a\x00"}, 422, None),
        (FORM | {"password": "x" * 257}, 422, None),
    ],
)
def test_rejected_form_names_the_error(
    client: Any, register: Callable[..., Player], form: dict[str, Any], status: int, error: str | None
) -> None:
    register(FORM["username"])
    response = client.post("/auth/login", data=form, content_type="application/x-www-form-urlencoded")
    assert (response.status_code, response.json.get("error")) == (status, error)
    assert response.json.get("error_description") == (response.json["detail"] if error else None)


def test_only_the_log_in_takes_a_form(client: Any) -> None:
    assert client.post("/auth/register", data=FORM).status_code == 415
    assert client.post("/auth/login", data=FORM, content_type="multipart/form-data").status_code == 415
    long = FORM | {"password": "x" * 20_000}
    assert client.post("/auth/login", data=long).status_code == 413


@pytest.mark.parametrize(("success", "status", "reason"), [(True, "success", None), (False, "failure", "not_present")])
def test_scan_inserted_with_its_success_has_a_verdict(
    client: Any,
    conn: Conn,
    staff: Staff,
    ada: SignedInPlayer,
    *,
    success: bool,
    status: str,
    reason: str | None,
) -> None:
    code = make_code(conn, staff.org_id, code="spy123", reward_item="gem", reward_quantity=1)
    conn.execute("LISTEN qr_scan")

    (scan_id,) = exactly_one(
        conn.execute(
            "INSERT INTO player_scans (player_id, qr_code_id, success) VALUES (%s, %s, %s) RETURNING id",
            (ada.id, code, success),
        )
    )
    conn.execute("SELECT")
    notified = list(conn.notifies(timeout=0))
    conn.execute("UNLISTEN *")
    judge_pending()
    number_events()
    analytics.roll_up_batch()
    analytics.roll_up_batch()

    assert [notification.channel for notification in notified] == ["qr_scan"]
    events = conn.execute("SELECT type, data ->> 'status' FROM events ORDER BY id").fetchall()
    assert events == [("qr_scan", None), ("scan_result", status)]
    (entry,) = client.get(f"/player/{ada.id}/history", headers=ada.headers).json["scans"]
    assert (entry["scan_id"], entry["success"], entry["status"], entry["reason"]) == (
        str(scan_id),
        success,
        status,
        reason,
    )
    counted = client.get(f"{staff.codes}/{code}/stats", headers=staff.analyst.headers).json["scans"]
    assert (counted["total"], counted["success"]) == (1, int(success))
    assert list_items(conn, ada.id) == []


def test_copied_scans_keep_their_time_and_success(conn: Conn, staff: Staff, ada: SignedInPlayer) -> None:
    code = make_code(conn, staff.org_id)
    rows = [
        (ada.id, code, "2025-05-01T10:00:00Z", True, 52.37, 4.9),
        (ada.id, code, "2025-05-01T11:00:00Z", None, None, None),
    ]
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "COPY player_scans (player_id, qr_code_id, scan_time, success, latitude, longitude) FROM STDIN"
        ) as copy,
    ):
        for row in rows:
            copy.write_row(row)
    stored = conn.execute("SELECT extract(hour FROM scan_time), success, status FROM player_scans ORDER BY scan_time")
    assert stored.fetchall() == [(10, True, "success"), (11, None, "pending")]


@pytest.mark.parametrize("status", ["success", "failure", "held", "annulled"])
def test_success_follows_from_the_status(conn: Conn, ada: SignedInPlayer, status: str) -> None:
    """Also if a statement claims otherwise, and after each later change."""
    code, expected = make_code(conn), {"success": True, "held": None}.get(status, False)
    reason = "expired" if status in ("failure", "held") else None
    row = {"player": ada.id, "code": code, "status": status, "reason": reason}
    conn.execute(
        """
        INSERT INTO player_scans (player_id, qr_code_id, status, reason, success, settled_at)
        VALUES (%(player)s, %(code)s, %(status)s, %(reason)s, true, now())
        """,
        row,
    )
    conn.execute("INSERT INTO player_scans (player_id, qr_code_id) VALUES (%(player)s, %(code)s)", row)
    conn.execute(
        "UPDATE player_scans SET status = %(status)s, reason = %(reason)s, settled_at = now() WHERE status = 'pending'",
        row,
    )
    assert conn.execute("SELECT success FROM player_scans").fetchall() == [(expected,)] * 2
    with pytest.raises(psycopg.errors.CheckViolation):
        conn.execute("UPDATE player_scans SET success = %s", (not expected,))
