"""Rotating codes over HTTP: the current step, screens, and what they refuse."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from flask import Flask

from shared.codes import screens
from shared.codes import store as codes
from shared.infra import db
from shared.infra.db import Conn
from tests.codes.factories import create, update
from tests.images.camera_view import decode
from tests.support.callers import SignedInPlayer, Staff, make_staff, sign_in
from tests.support.concurrency import wait_until_blocked
from tests.support.factories import current_text, make_code
from workers.scans import judge_pending

CALM: dict[str, Any] = {"rotation_seconds": 3600}
"""Steps that hardly end during a test. If one does, no expected verdict changes."""


@pytest.fixture
def code(conn: Conn, staff: Staff) -> UUID:
    return make_code(conn, staff.org_id, code="lobby", description="In the <lobby>", rotating=True, **CALM)


@pytest.fixture
def path(staff: Staff, code: UUID) -> str:
    return f"{staff.codes}/{code}"


def scan(client: Any, player: SignedInPlayer, qr_code: str, **fields: Any) -> tuple[str, str | None]:
    """Return status and reason of the verdict."""
    body = {"player_id": str(player.id), "qr_code": qr_code} | fields
    accepted = client.post("/scan", json=body, headers=player.headers).json
    judge_pending()
    verdict = client.get(accepted["result_url"], headers=player.headers).json
    return verdict["status"], verdict.get("reason")


def make_screen(client: Any, path: str, staff: Staff, name: str = "Entrance") -> Any:
    return client.post(f"{path}/screens", json={"name": name}, headers=staff.admin.headers)


def test_image_on_the_screen_gives_its_text_and_a_success(client: Any, staff: Staff, path: str) -> None:
    shown = client.get(f"{path}/rotating", headers=staff.admin.headers)
    image = client.get(shown.json["image_url"] + "?size=400", headers=staff.admin.headers)

    text, _ = decode(image.data)
    assert text.startswith("http://127.0.0.1:8000/s/lobby?t=")
    assert shown.json["text"].partition("?")[0] == text.partition("?")[0]
    assert 1 <= shown.json["seconds_left"] <= 3600
    assert shown.headers["Cache-Control"] == image.headers["Cache-Control"] == "no-store"
    assert "ETag" not in image.headers
    assert scan(client, staff.member, text) == ("success", None)


@pytest.mark.parametrize(
    ("steps_old", "verdict"),
    [
        (0, ("success", None)),
        (2, ("failure", "stale_code")),
        (-1, ("success", None)),
        (-3, ("failure", "stale_code")),
    ],
)
def test_only_steps_next_to_the_scan_succeed(
    client: Any, conn: Conn, staff: Staff, code: UUID, steps_old: int, verdict: tuple[str, str | None]
) -> None:
    assert scan(client, staff.member, current_text(conn, code, steps_old)) == verdict


def test_text_without_a_genuine_mac_is_forged(client: Any, app: Flask, conn: Conn, staff: Staff, code: UUID) -> None:
    other = make_code(conn, staff.org_id, rotating=True, **CALM)
    genuine, foreign = current_text(conn, code), current_text(conn, other)
    t = urlsplit(genuine).query
    texts = [
        "lobby",
        "https://any.example/s/lobby",
        f"https://any.example/s/lobby?{urlsplit(foreign).query}",
        f"lobby?{t}",
        genuine[:-1],
        f"{genuine}&{t}",
    ]

    assert [scan(client, staff.member, text) for text in texts] == [
        ("failure", "unknown_code" if text.startswith("lobby?") else "forged_code") for text in texts
    ]
    for text in (f" {genuine}\r\n", f"]Q1{genuine}&utm_source=poster"):
        assert scan(client, sign_in(app, conn), text) == ("success", None)


def test_scans_made_offline_are_compared_by_their_own_time(client: Any, conn: Conn, staff: Staff, code: UUID) -> None:
    ((now,),) = conn.execute("SELECT date_trunc('hour', now()) + interval '30 minutes'").fetchall()
    # The phone's clock is a day slow, and the first hour of the scans is three hours ago.
    sent_at, shown = now - timedelta(days=1), now - timedelta(hours=3)
    scans = [
        {
            "player_id": str(staff.member.id),
            "qr_code": current_text(conn, code, steps_old=3 + steps_old),
            "nonce": f"{steps_old}",
            "scanned_at": (shown - timedelta(days=1)).isoformat(),
        }
        for steps_old in (-3, 2, 4, 0)
    ]
    body = {"sent_at": sent_at.isoformat(), "scans": scans}

    accepted = client.post("/scans/batch", json=body, headers=staff.member.headers).json["scans"]
    judge_pending()

    verdicts = [client.get(f"/scan/{each['scan_id']}", headers=staff.member.headers).json for each in accepted]
    assert [each.get("reason") for each in verdicts] == ["stale_code", "stale_code", "stale_code", None]


def test_parameter_of_a_code_that_does_not_rotate_is_ignored(client: Any, conn: Conn, staff: Staff) -> None:
    code = make_code(conn, staff.org_id, code="still")

    assert scan(client, staff.member, "https://any.example/s/still?t=1.AAAAAAAAAAAAAAAA") == ("success", None)
    assert conn.execute("SELECT step_mac FROM player_scans WHERE qr_code_id = %s", (code,)).fetchall() == [(None,)]


def test_secret_changes_when_rotation_starts_again(client: Any, conn: Conn, staff: Staff, code: UUID) -> None:
    before = current_text(conn, code)
    for rotating in (False, True):
        assert update(client, staff, str(code), rotating=rotating).status_code == 200
    after = current_text(conn, code)

    assert scan(client, staff.member, before) == ("failure", "forged_code")
    assert scan(client, staff.member, after) == ("success", None)
    assert update(client, staff, str(code), rotation_seconds=5).status_code == 200
    assert scan(client, staff.analyst, after) == ("failure", "forged_code")


def test_secret_is_in_no_response(client: Any, conn: Conn, staff: Staff, path: str, code: UUID) -> None:
    ((secret,),) = conn.execute("SELECT rotation_secret FROM qr_codes WHERE id = %s", (code,)).fetchall()
    scan(client, staff.member, current_text(conn, code))
    paths = (path, staff.codes, f"{staff.codes}/export", f"{staff.path}/audit", f"{path}/rotating", f"{path}/screens")
    found = [client.get(each, headers=staff.owner.headers).data for each in paths]
    found += [str(row).encode() for row in conn.execute("SELECT data FROM events UNION SELECT new FROM audit_log")]

    for form in (secret, secret.hex().encode(), repr(secret)[2:-1].encode()):
        assert not any(form in text for text in found)


def test_explain_and_simulate_know_both_checks(client: Any, conn: Conn, staff: Staff, code: UUID) -> None:
    for steps_old, reason, outcome in ((0, None, "passed"), (4, "stale_code", "failed")):
        body = {"player_id": str(staff.member.id), "qr_code": current_text(conn, code, steps_old)}
        simulated = client.post(f"{staff.path}/scans/simulate", json=body, headers=staff.admin.headers).json
        accepted = client.post("/scan", json=body, headers=staff.member.headers).json["scan_id"]
        judge_pending()
        explained = client.get(f"{staff.path}/scans/{accepted}/explain", headers=staff.admin.headers).json

        assert (simulated.get("reason"), explained["reason"]) == (reason, reason)
        for answer in (simulated, explained):
            steps = {step["rule"]: step for step in answer["rules"]}
            assert steps["forged_code"]["inputs"] == {"rotating": True, "mac_given": True, "genuine": True}
            assert (steps["stale_code"]["outcome"], steps["stale_code"]["inputs"]["steps_old"]) == (outcome, steps_old)


def test_screen_shows_the_code_without_a_login(client: Any, conn: Conn, staff: Staff, path: str, code: UUID) -> None:
    created = make_screen(client, path, staff)
    url = created.json["url"]

    page, state = client.get(url), client.get(f"{url}/state")
    image = client.get(state.json["image_url"] + "?size=400")

    assert (created.status_code, created.json["name"], created.json["last_seen_at"]) == (201, "Entrance", None)
    assert page.status_code == 200
    assert f'src="{url}/image' in page.text
    assert "In the &lt;lobby&gt;" in page.text
    assert re.search(r'<noscript><meta http-equiv="refresh" content="([1-9]|[12][0-9]|30)"></noscript>', page.text)
    assert state.json | {"server_time": None, "seconds_left": None} == {
        "image_url": f"{url}/image",
        "seconds_left": None,
        "description": "In the <lobby>",
        "scans_today": 0,
        "server_time": None,
        "rotation_seconds": 3600,
    }
    assert {answer.headers["Cache-Control"] for answer in (page, state, image)} == {"no-store"}
    assert scan(client, staff.member, decode(image.data)[0]) == ("success", None)
    assert client.get(f"{url}/state").json["scans_today"] == 1
    listed = client.get(f"{path}/screens", headers=staff.admin.headers).json
    assert [(each["id"], each["name"], each["code"]) for each in listed["items"]] == [
        (created.json["id"], "Entrance", "lobby")
    ]
    assert client.get(f"{staff.path}/screens", headers=staff.admin.headers).json == listed
    assert listed["items"][0]["last_seen_at"] is not None
    assert listed["next_cursor"] is None
    assert url.rpartition("/")[2] not in str(conn.execute("SELECT * FROM code_screens").fetchall())


PARTS = ("", "/state", "/image")


def test_screen_ends_with_its_code_or_its_revocation(client: Any, conn: Conn, staff: Staff, path: str) -> None:
    kept, revoked = (make_screen(client, path, staff, name).json for name in ("Kept", "Revoked"))

    def statuses(screen: Any) -> set[int]:
        return {client.get(f"{screen['url']}{part}").status_code for part in PARTS}

    assert client.delete(f"{path}/screens/{revoked['id']}", headers=staff.admin.headers).status_code == 204
    assert client.delete(f"{path}/screens/{revoked['id']}", headers=staff.admin.headers).status_code == 404
    assert (statuses(kept), statuses(revoked), statuses({"url": "/screen/none"})) == ({200}, {404}, {404})
    qr_id = path.rpartition("/")[2]
    update(client, staff, qr_id, rotating=False)
    assert statuses(kept) == {404}
    update(client, staff, qr_id, rotating=True, expires_at="2026-01-01T00:00:00Z")
    assert statuses(kept) == {410}
    assert client.get(f"{path}/rotating", headers=staff.admin.headers).status_code == 410
    update(client, staff, qr_id, expires_at=None)
    assert statuses(kept) == {200}
    conn.execute("UPDATE organizations SET closed_at = now() WHERE id = %s", (staff.org_id,))
    assert statuses(kept) == {410}
    conn.execute("UPDATE organizations SET closed_at = NULL WHERE id = %s", (staff.org_id,))
    assert client.delete(path, headers=staff.admin.headers).status_code == 204
    assert statuses(kept) == {410}


def test_code_has_at_most_twenty_screens(client: Any, conn: Conn, staff: Staff, path: str, code: UUID) -> None:
    for number in range(screens.MAX_SCREENS - 1):
        screens.add(conn, staff.org_id, code, f"Screen {number}", str(number))

    assert [make_screen(client, path, staff).status_code for _ in range(2)] == [201, 409]


def test_concurrent_screens_do_not_exceed_the_limit(
    app: Flask, conn: Conn, staff: Staff, path: str, code: UUID
) -> None:
    for number in range(screens.MAX_SCREENS - 1):
        screens.add(conn, staff.org_id, code, f"Screen {number}", str(number))

    with ThreadPoolExecutor(1) as thread, db.transaction() as other:
        codes.lock(other, staff.org_id, code)
        screens.add(other, staff.org_id, code, "The last one", "token")
        response = thread.submit(make_screen, app.test_client(), path, staff)
        wait_until_blocked(conn)

    assert response.result().status_code == 409


def test_retry_returns_the_link_again(client: Any, staff: Staff, path: str) -> None:
    headers = staff.admin.headers | {"Idempotency-Key": "one"}
    first, again = (client.post(f"{path}/screens", json={"name": "A"}, headers=headers) for _ in range(2))

    assert first.json == again.json
    assert len(client.get(f"{path}/screens", headers=staff.admin.headers).json["items"]) == 1


def test_code_that_does_not_rotate_has_no_screen(client: Any, conn: Conn, staff: Staff) -> None:
    path = f"{staff.codes}/{make_code(conn, staff.org_id)}"

    answers = [client.get(f"{path}/{part}", headers=staff.admin.headers) for part in ("rotating", "rotating/image")]
    answers.append(make_screen(client, path, staff))

    assert {answer.status_code for answer in answers} == {409}
    assert "Set rotating to true" in answers[0].json["detail"]


def test_screens_of_other_organizations_are_404(app: Flask, client: Any, conn: Conn, path: str, staff: Staff) -> None:
    screen, other = make_screen(client, path, staff).json["id"], make_staff(app, conn)
    qr_id = path.rpartition("/")[2]
    own = f"{other.codes}/{make_code(conn, other.org_id, rotating=True)}"
    requests = [
        ("GET", f"{other.codes}/{qr_id}/rotating"),
        ("GET", f"{other.codes}/{qr_id}/rotating/image"),
        ("GET", f"{other.codes}/{qr_id}/screens"),
        ("POST", f"{other.codes}/{qr_id}/screens"),
        ("DELETE", f"{other.codes}/{qr_id}/screens/{screen}"),
        ("DELETE", f"{own}/screens/{screen}"),
    ]

    assert client.get(f"{other.path}/screens", headers=other.owner.headers).json["items"] == []
    for method, url in requests:
        body = {"name": "Mine"} if method == "POST" else None
        assert client.open(url, method=method, json=body, headers=other.owner.headers).status_code == 404


def test_static_images_are_refused_with_the_reason(client: Any, conn: Conn, staff: Staff, path: str) -> None:
    qr_id = path.rpartition("/")[2]

    image = client.get(f"{path}/image", headers=staff.admin.headers)
    renders = [
        client.post(f"{staff.path}/renders", json=selection, headers=staff.admin.headers)
        for selection in ({"qr_ids": [qr_id]}, {"all": True})
    ]
    code = client.get(path, headers=staff.admin.headers).json

    assert [answer.status_code for answer in (image, *renders)] == [422] * 3
    assert [answer.json["errors"][0]["loc"] for answer in (image, *renders)] == [
        "path.qr_id",
        "body.qr_ids.0",
        "body.all",
    ]
    assert {answer.json["errors"][0]["message"] for answer in (image, *renders)} == {
        "This code rotates: a printed image of it would soon stop working. Show it on a screen instead."
    }
    assert code["image_url"] == f"{path}/rotating/image"
    assert any("photograph" in warning for warning in code["warnings"])
    assert not any(
        "photograph" in warning for warning in update(client, staff, qr_id, offline_hours=0).json["warnings"]
    )


def test_customized_rotating_image_is_decoded_with_its_longer_text(client: Any, staff: Staff) -> None:
    code = create(client, staff, code="x" * 64, rotating=True).json
    path = f"{staff.codes}/{code['id']}"

    body = {"style": "dots", "foreground_color": "#003300"}
    assert client.put(f"{path}/customization", json=body, headers=staff.admin.headers).status_code == 200
    image = client.get(f"{path}/rotating/image", headers=staff.admin.headers)
    assert decode(image.data)[0].startswith(f"http://127.0.0.1:8000/s/{'x' * 64}?t=")


def test_opened_code_is_out_of_date_without_a_current_step(client: Any, conn: Conn, staff: Staff) -> None:
    fields: dict[str, Any] = {"scan_type": None, "target_url": "https://museum.example/", "max_scans": 5}
    no_reward = dict.fromkeys(("reward_item", "reward_quantity"))
    code = make_code(conn, staff.org_id, rotating=True, **fields, **no_reward, **CALM)
    phone = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148"}

    def open_code(steps_old: int) -> tuple[int, int]:
        url = urlsplit(current_text(conn, code, steps_old))
        status = client.get(f"{url.path}?{url.query}&utm_source=x", headers=phone).status_code
        ((uses,),) = conn.execute("SELECT use_count FROM qr_codes WHERE id = %s", (code,)).fetchall()
        return status, uses

    assert open_code(2) == (410, 0)
    assert open_code(0) == (302, 1)
    bare = client.get(urlsplit(current_text(conn, code)).path, headers=phone)
    assert (bare.status_code, "Scan the one on the screen now." in bare.text) == (410, True)
