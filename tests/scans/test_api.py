"""Scans over HTTP: stored once per nonce, readable by player and staff, listed in pages."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import redis

from shared.infra import message_sender
from shared.infra.db import Conn
from shared.infra.message_sender import background_sender
from shared.messages import ScansPending
from shared.scans import store
from shared.scans.rules import Coordinates
from shared.scans.store import NewScan
from tests.conftest import Player
from tests.support.factories import AMSTERDAM, issuer_of, make_code, make_org
from workers.scans import judge_pending

Register = Callable[..., Player]


def body(player: Player, **fields: Any) -> dict[str, Any]:
    return {"player_id": str(player.id), "qr_code": "spy123"} | fields


def at(coordinates: Coordinates) -> dict[str, float]:
    return {"latitude": coordinates.latitude, "longitude": coordinates.longitude}


@pytest.fixture
def post(client: Any, player: Player) -> Callable[..., Any]:
    """Submit a scan as the player: `post(qr_code="…")`."""

    def send(headers: dict[str, str] | None = None, **fields: Any) -> Any:
        return client.post("/scan", json=body(player, **fields), headers=player.headers | (headers or {}))

    return send


def test_scan_is_committed_before_the_response(post: Any, conn: Conn) -> None:
    make_code(conn, code="spy123")
    response = post()
    scan_id = response.json["scan_id"]
    assert response.status_code == 202
    assert response.json == {"scan_id": scan_id, "status": "pending", "result_url": f"/scan/{scan_id}"}
    assert response.headers["Location"] == f"/scan/{scan_id}"
    assert response.headers["Retry-After"] == "1"
    assert conn.execute("SELECT status FROM player_scans WHERE id = %s", (scan_id,)).fetchone() == ("pending",)


def test_get_scan_returns_the_verdict(post: Any, client: Any, player: Player, conn: Conn) -> None:
    code = make_code(conn, code="spy123", reward_item="spy_gadget")
    scan_id = post(**at(AMSTERDAM)).json["scan_id"]
    judge_pending()
    verdict = client.get(f"/scan/{scan_id}", headers=player.headers).json
    times = [verdict.pop(name) for name in ("scanned_at", "received_at", "settled_at")]
    assert [time[-1] for time in times] == ["Z"] * 3
    assert verdict == {
        "scan_id": scan_id,
        "player_id": str(player.id),
        "qr_code": "spy123",
        "status": "success",
        "encounter_type": "item_drop",
        "reward": "spy_gadget",
        "quantity": 1,
        "org_id": issuer_of(conn, code),
    }


@pytest.mark.parametrize("scanned", ["spy123", "https://print.example/s/spy123", "HTTP://x.example/s/spy123?a=b"])
def test_code_url_and_code_text_are_the_same_code(post: Any, conn: Conn, scanned: str) -> None:
    code = make_code(conn, code="spy123")
    post(qr_code=scanned)
    assert conn.execute("SELECT qr_code, qr_code_id FROM player_scans").fetchone() == ("spy123", code)


@pytest.mark.parametrize("spelling", ["body", "header"])
def test_retry_returns_the_first_scan(post: Any, conn: Conn, spelling: str) -> None:
    def retry(**fields: Any) -> Any:
        if spelling == "body":
            return post(nonce="n1", **fields)
        return post(headers={"Idempotency-Key": "n1"}, **fields)

    first = retry()
    judge_pending()
    second = retry()
    assert (second.status_code, second.json) == (202, first.json)
    assert retry(qr_code="other").status_code == 409
    assert retry(latitude=1, longitude=1).status_code == 409
    assert conn.execute("SELECT count(*) FROM player_scans").fetchone() == (1,)
    waited = post(nonce="n1", headers={"Prefer": "wait=5"})
    assert (waited.status_code, waited.json["status"]) == (200, "failure")


def test_retry_of_a_success_ignores_a_deleted_code_and_the_player_limit(post: Any, conn: Conn) -> None:
    code = make_code(conn, code="spy123")
    first = post(nonce="n1").json
    judge_pending()
    conn.execute("UPDATE qr_codes SET active = false, deleted_at = now() WHERE id = %s", (code,))
    assert post(nonce="n1").json == first


def test_nonces_of_two_players_are_independent(register: Register, client: Any) -> None:
    ids = set()
    for player in (register(), register()):
        response = client.post("/scan", json=body(player, nonce="n1"), headers=player.headers)
        ids.add(response.json["scan_id"])
    assert len(ids) == 2


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_concurrent_posts_with_one_nonce_store_one_scan(
    app: Any, player: Player, conn: Conn, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """The guard is the unique index. A look-up before the insert stores several."""
    start = threading.Barrier(10)
    if not guarded:
        monkeypatch.setattr(store, "accept", look_first_then_insert(start, store.accept))

    def send(_: int) -> Any:
        client = app.test_client()
        start.wait(10)
        return [client.post("/scan", json=body(player, nonce="n1"), headers=player.headers).json for _ in range(5)]

    with ThreadPoolExecutor(10) as pool:
        bodies = [body for bodies_of_thread in pool.map(send, range(10)) for body in bodies_of_thread]
    assert len(bodies) == 50
    assert (len({body["scan_id"] for body in bodies}) == 1) is guarded
    assert (conn.execute("SELECT count(*) FROM player_scans").fetchone() == (1,)) is guarded


def look_first_then_insert(start: threading.Barrier, accept: Any) -> Any:
    """Return `accept` without the index: all threads look up the nonce before the first one inserts."""
    rounds = threading.local()

    def without_guard(conn: Conn, scan: NewScan, **rest: Any) -> Any:
        row = conn.execute("SELECT id FROM player_scans WHERE request_id = %s", (scan.nonce,)).fetchone()
        if not getattr(rounds, "has_started", False):
            rounds.has_started = True
            start.wait(10)
        if row:
            return row[0]
        return accept(conn, replace(scan, nonce=None), **(rest | {"request_id": scan.nonce}))

    return without_guard


def test_prefer_wait_returns_the_verdict(post: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker in another thread settles the scan and publishes its id through Redis."""
    make_code(conn, code="spy123")
    with ThreadPoolExecutor(1) as worker:
        monkeypatch.setattr(background_sender, "submit", lambda message: worker.submit(judge_pending))
        response = post(headers={"Prefer": "wait=10"})
    assert (response.status_code, response.json["status"]) == (200, "success")
    assert response.headers["Preference-Applied"] == "wait"


@pytest.mark.parametrize("prefer", ["wait=0", "wait=x", "respond-async", ""])
def test_response_without_a_wait_is_202(post: Any, prefer: str) -> None:
    assert post(headers={"Prefer": prefer}).status_code == 202


def test_wait_without_a_verdict_times_out_with_202(post: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_sender, "submit", lambda message: None)
    response = post(headers={"Prefer": "wait=1"})
    assert (response.status_code, response.json["status"]) == (202, "pending")


def test_scan_is_accepted_while_redis_is_unavailable(post: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Event()

    def fail(_message: Any) -> None:
        tried.set()
        raise redis.ConnectionError("connection refused")

    monkeypatch.setattr(message_sender, "send", fail)
    response = post()
    assert response.status_code == 202
    assert tried.wait(10)
    background_sender.flush()
    assert conn.execute("SELECT status FROM player_scans").fetchone() == ("pending",)


def test_equal_waiting_messages_are_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    sender = message_sender.BackgroundSender()
    monkeypatch.setattr(message_sender, "send", sent.append)
    # No thread: messages wait until the flush.
    monkeypatch.setattr(sender, "_thread", object())
    for _ in range(100):
        sender.submit(ScansPending())
    sender.flush()
    assert sent == [ScansPending()]


def test_scan_for_another_player_is_forbidden(register: Register, client: Any, player: Player, conn: Conn) -> None:
    response = client.post("/scan", json=body(register()), headers=player.headers)
    assert response.status_code == 403
    assert conn.execute("SELECT count(*) FROM player_scans").fetchone() == (0,)


@pytest.mark.parametrize(
    ("role", "status"), [(None, 404), ("member", 404), ("analyst", 200), ("admin", 200), ("owner", 200)]
)
def test_get_scan_needs_the_role_analyst(
    register: Register, post: Any, client: Any, conn: Conn, role: str | None, status: int
) -> None:
    org = make_org(conn)
    make_code(conn, org, code="spy123")
    scan_id = post().json["scan_id"]
    other = register()
    if role:
        conn.execute("INSERT INTO memberships VALUES (%s, %s, %s)", (org, other.id, role))
    assert client.get(f"/scan/{scan_id}", headers=other.headers).status_code == status


def test_get_scan_is_404_for_staff_of_another_organization(
    register: Register, post: Any, client: Any, conn: Conn
) -> None:
    make_code(conn, code="spy123")
    scan_id = post().json["scan_id"]
    other = register()
    conn.execute("INSERT INTO memberships VALUES (%s, %s, 'owner')", (make_org(conn), other.id))
    assert client.get(f"/scan/{scan_id}", headers=other.headers).status_code == 404


@pytest.mark.parametrize("scan_id", ["x", "01a1fd62-603f-774a-9502-1125af79dcb9", "%00", "1" * 36])
def test_get_scan_is_404_without_such_a_scan(client: Any, player: Player, scan_id: str) -> None:
    assert client.get(f"/scan/{scan_id}").status_code == 401
    assert client.get(f"/scan/{scan_id}", headers=player.headers).status_code == 404


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"player_id": "x"}, "body.player_id"),
        ({"player_id": None}, "body.player_id"),
        ({"qr_code": ""}, "body.qr_code"),
        ({"qr_code": "a" * 2049}, "body.qr_code"),
        ({"qr_code": 7}, "body.qr_code"),
        ({"qr_code": "a\x00b"}, "body.qr_code"),
        ({"qr_code": "\ud800"}, "body.qr_code"),
        ({"latitude": 1}, "body"),
        ({"longitude": 1}, "body"),
        ({"latitude": 90.5, "longitude": 0}, "body.latitude"),
        ({"latitude": "52", "longitude": 4}, "body.latitude"),
        ({"latitude": True, "longitude": 4}, "body.latitude"),
        ({"latitude": 52, "longitude": -181}, "body.longitude"),
        ({"latitude": float("nan"), "longitude": 0}, "body"),
        ({"latitude": float("inf"), "longitude": 0}, "body"),
        ({"accuracy": -1}, "body.accuracy"),
        ({"scanned_at": "yesterday"}, "body.scanned_at"),
        ({"scanned_at": "2026-02-12T10:00:00"}, "body.scanned_at"),
        ({"scanned_at": 1770890400}, "body.scanned_at"),
        ({"nonce": ""}, "body.nonce"),
        ({"nonce": "n" * 65}, "body.nonce"),
        ({"success": True}, "body.success"),
        ({"status": "success"}, "body.status"),
    ],
)
def test_invalid_scan_returns_422_and_names_the_field(post: Any, conn: Conn, fields: dict[str, Any], loc: str) -> None:
    response = post(**fields)
    assert response.status_code == 422
    assert response.content_type == "application/problem+json"
    assert response.json["errors"][0]["loc"] == loc
    assert conn.execute("SELECT count(*) FROM player_scans").fetchone() == (0,)


def test_idempotency_key_and_nonce_must_be_equal(post: Any) -> None:
    response = post(nonce="a", headers={"Idempotency-Key": "b"})
    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == "header.Idempotency-Key"
