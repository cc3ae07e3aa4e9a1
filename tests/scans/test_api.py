"""Scans over HTTP: accepted durably, once per nonce, looked up by those who may, listed in pages."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis

from shared.infra import message_sender
from shared.infra.db import Conn
from shared.infra.message_sender import background_sender
from shared.messages import ScansPending
from shared.scans import store
from shared.scans.store import SELECT_HISTORY, NewScan
from tests.conftest import Player
from tests.support.factories import AMSTERDAM, SIX_KILOMETRES_OFF, SIXTY_METRES_OFF, make_code, make_org, make_player
from workers.scans import judge_pending

Register = Callable[..., Player]


def body(player: Player, **fields: Any) -> dict[str, Any]:
    return {"player_id": str(player.id), "qr_code": "spy123"} | fields


def at(place: Any) -> dict[str, float]:
    return {"latitude": place.latitude, "longitude": place.longitude}


@pytest.fixture
def post(client: Any, player: Player) -> Callable[..., Any]:
    """Hands in a scan as the player: `post(qr_code="…")`."""

    def send(headers: dict[str, str] | None = None, **fields: Any) -> Any:
        return client.post("/scan", json=body(player, **fields), headers=player.headers | (headers or {}))

    return send


def test_a_scan_is_committed_before_it_is_accepted(post: Any, conn: Conn) -> None:
    make_code(conn, code="spy123")
    answer = post()
    scan_id = answer.json["scan_id"]
    assert answer.status_code == 202
    assert answer.json == {"scan_id": scan_id, "status": "pending", "result_url": f"/scan/{scan_id}"}
    assert answer.headers["Location"] == f"/scan/{scan_id}"
    assert answer.headers["Retry-After"] == "1"
    assert conn.execute("SELECT status FROM player_scans WHERE id = %s", (scan_id,)).fetchone() == ("pending",)


def test_its_verdict_is_looked_up(post: Any, client: Any, player: Player, conn: Conn) -> None:
    make_code(conn, code="spy123", reward_item="spy_gadget")
    scan_id = post(**at(AMSTERDAM)).json["scan_id"]
    judge_pending()
    told = client.get(f"/scan/{scan_id}", headers=player.headers).json
    times = [told.pop(name) for name in ("scanned_at", "received_at", "settled_at")]
    assert all(time.endswith("Z") for time in times)
    assert told == {
        "scan_id": scan_id,
        "player_id": str(player.id),
        "qr_code": "spy123",
        "status": "success",
        "encounter_type": "item_drop",
        "reward": "spy_gadget",
        "quantity": 1,
    }


def test_sixty_metres_and_six_kilometres_off_read_the_same(register: Register, client: Any, conn: Conn) -> None:
    make_code(conn, code="spy123", place=AMSTERDAM)
    told = []
    for place in (SIXTY_METRES_OFF, SIX_KILOMETRES_OFF):
        player = register()
        scan_id = client.post("/scan", json=body(player, **at(place)), headers=player.headers).json["scan_id"]
        judge_pending()
        answer = client.get(f"/scan/{scan_id}", headers=player.headers)
        told.append({k: v for k, v in answer.json.items() if k not in ("scan_id", "player_id") and "_at" not in k})
    assert told[0] == told[1]
    assert told[0]["message"] == "Player must be physically present."


@pytest.mark.parametrize("scanned", ["spy123", "https://print.example/s/spy123", "HTTP://x.example/s/spy123?a=b"])
def test_the_whole_url_or_the_bare_code(post: Any, conn: Conn, scanned: str) -> None:
    code = make_code(conn, code="spy123")
    post(qr_code=scanned)
    assert conn.execute("SELECT qr_code, qr_code_id FROM player_scans").fetchone() == ("spy123", code)


@pytest.mark.parametrize("spelling", ["body", "header"])
def test_the_same_nonce_is_the_same_scan(post: Any, conn: Conn, spelling: str) -> None:
    def again(**fields: Any) -> Any:
        if spelling == "body":
            return post(nonce="n1", **fields)
        return post(headers={"Idempotency-Key": "n1"}, **fields)

    first = again()
    judge_pending()
    second = again()
    assert (second.status_code, second.json) == (202, first.json)
    assert again(qr_code="other").status_code == 409
    assert again(latitude=1, longitude=1).status_code == 409
    assert conn.execute("SELECT count(*) FROM player_scans").fetchone() == (1,)
    waited = post(nonce="n1", headers={"Prefer": "wait=5"})
    assert (waited.status_code, waited.json["status"]) == (200, "failure")


def test_the_nonce_is_judged_before_the_code(post: Any, conn: Conn) -> None:
    """The retry of a success is that success, though the player's limit is reached and the code is gone by now."""
    code = make_code(conn, code="spy123")
    first = post(nonce="n1").json
    judge_pending()
    conn.execute("UPDATE qr_codes SET active = false, deleted_at = now() WHERE id = %s", (code,))
    assert post(nonce="n1").json == first


def test_two_players_may_use_the_same_nonce(register: Register, client: Any) -> None:
    ids = set()
    for player in (register(), register()):
        answer = client.post("/scan", json=body(player, nonce="n1"), headers=player.headers)
        ids.add(answer.json["scan_id"])
    assert len(ids) == 2


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_fifty_posts_with_one_nonce_at_once_are_one_scan(
    app: Any, player: Player, conn: Conn, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """The guard is the unique index; without it, looking for the nonce first lets several through."""
    start = threading.Barrier(10)
    if not guarded:
        monkeypatch.setattr(store, "accept", look_first_then_insert(start, store.accept))

    def send(_: int) -> Any:
        client = app.test_client()
        start.wait(10)
        return [client.post("/scan", json=body(player, nonce="n1"), headers=player.headers).json for _ in range(5)]

    with ThreadPoolExecutor(10) as pool:
        told = [answer for answers in pool.map(send, range(10)) for answer in answers]
    assert len(told) == 50
    assert (len({answer["scan_id"] for answer in told}) == 1) is guarded
    assert (conn.execute("SELECT count(*) FROM player_scans").fetchone() == (1,)) is guarded


def look_first_then_insert(start: threading.Barrier, accept: Any) -> Any:
    """How a nonce would be honoured without the index: the first round of all threads looks before anyone inserts."""
    rounds = threading.local()

    def without_guard(conn: Conn, scan: NewScan, **rest: Any) -> Any:
        found = conn.execute("SELECT id FROM player_scans WHERE request_id = %s", (scan.nonce,)).fetchone()
        if not getattr(rounds, "begun", False):
            rounds.begun = True
            start.wait(10)
        if found:
            return found[0]
        return accept(conn, replace(scan, nonce=None), **(rest | {"request_id": scan.nonce}))

    return without_guard


def test_a_client_that_waits_gets_the_verdict(post: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is woken through Redis when a worker, in another thread here, has settled the scan."""
    make_code(conn, code="spy123")
    with ThreadPoolExecutor(1) as worker:
        monkeypatch.setattr(background_sender, "submit", lambda message: worker.submit(judge_pending))
        answer = post(headers={"Prefer": "wait=10"})
    assert (answer.status_code, answer.json["status"]) == (200, "success")
    assert answer.headers["Preference-Applied"] == "wait"


@pytest.mark.parametrize("prefer", ["wait=0", "wait=x", "respond-async", ""])
def test_a_client_that_does_not_wait_gets_202(post: Any, prefer: str) -> None:
    assert post(headers={"Prefer": prefer}).status_code == 202


def test_a_wait_ends_with_202_when_no_verdict_falls(post: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_sender, "submit", lambda message: None)
    answer = post(headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json["status"]) == (202, "pending")


def test_a_scan_is_accepted_while_redis_is_away(post: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Event()

    def away(_message: Any) -> None:
        tried.set()
        raise redis.ConnectionError("connection refused")

    monkeypatch.setattr(message_sender, "send", away)
    answer = post()
    assert answer.status_code == 202
    assert tried.wait(10)
    background_sender.flush()
    assert conn.execute("SELECT status FROM player_scans").fetchone() == ("pending",)


def test_nudges_are_coalesced(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    own = message_sender.BackgroundSender()
    monkeypatch.setattr(message_sender, "send", sent.append)
    monkeypatch.setattr(own, "_thread", object())  # nobody but us empties it
    for _ in range(100):
        own.submit(ScansPending())
    own.flush()
    assert sent == [ScansPending()]


def test_anothers_scan_is_not_theirs_to_hand_in(register: Register, client: Any, player: Player, conn: Conn) -> None:
    answer = client.post("/scan", json=body(register()), headers=player.headers)
    assert answer.status_code == 403
    assert conn.execute("SELECT count(*) FROM player_scans").fetchone() == (0,)


@pytest.mark.parametrize(
    ("role", "status"), [(None, 404), ("member", 404), ("analyst", 200), ("admin", 200), ("owner", 200)]
)
def test_who_may_look_a_scan_up(
    register: Register, post: Any, client: Any, conn: Conn, role: str | None, status: int
) -> None:
    org = make_org(conn)
    make_code(conn, org, code="spy123")
    scan_id = post().json["scan_id"]
    other = register()
    if role:
        conn.execute("INSERT INTO memberships VALUES (%s, %s, %s)", (org, other.id, role))
    assert client.get(f"/scan/{scan_id}", headers=other.headers).status_code == status


def test_staff_of_another_organization_may_not_look_it_up(
    register: Register, post: Any, client: Any, conn: Conn
) -> None:
    make_code(conn, code="spy123")
    scan_id = post().json["scan_id"]
    other = register()
    conn.execute("INSERT INTO memberships VALUES (%s, %s, 'owner')", (make_org(conn), other.id))
    assert client.get(f"/scan/{scan_id}", headers=other.headers).status_code == 404


@pytest.mark.parametrize("scan_id", ["x", "01a1fd62-603f-774a-9502-1125af79dcb9", "%00", "1" * 36])
def test_no_such_scan(client: Any, player: Player, scan_id: str) -> None:
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
def test_a_malformed_scan_names_its_field(post: Any, conn: Conn, fields: dict[str, Any], loc: str) -> None:
    answer = post(**fields)
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert answer.json["errors"][0]["loc"] == loc
    assert conn.execute("SELECT count(*) FROM player_scans").fetchone() == (0,)


def test_two_spellings_of_the_nonce_must_agree(post: Any) -> None:
    answer = post(nonce="a", headers={"Idempotency-Key": "b"})
    assert answer.json["errors"][0]["loc"] == "header.Idempotency-Key"


def test_history_is_newest_first_in_pages_without_gap_or_double(
    client: Any, player: Player, conn: Conn, post: Any
) -> None:
    make_code(conn, code="spy123")
    moment = datetime.now(UTC) - timedelta(hours=1)
    made = [post(scanned_at=(moment + timedelta(seconds=k // 2)).isoformat()).json["scan_id"] for k in range(7)]
    judge_pending()
    pending = post().json["scan_id"]

    seen, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/player/{player.id}/history?limit=3&cursor={cursor}", headers=player.headers).json
        assert len(page["scans"]) <= 3
        seen += page["scans"]
        cursor = page["next_cursor"]
    assert seen[0] == {
        "scan_id": pending,
        "qr_code": "spy123",
        "scan_time": seen[0]["scan_time"],
        "success": None,
        "status": "pending",
        "reason": None,
    }
    assert {entry["scan_id"] for entry in seen} == {pending, *made}
    assert len(seen) == 8
    assert [e["scan_time"] for e in seen] == sorted((e["scan_time"] for e in seen), reverse=True)
    assert sorted((e["success"], e["reason"] or "") for e in seen[1:]) == [(False, "player_limit")] * 6 + [(True, "")]


def test_a_page_of_a_long_history_reads_one_range_of_the_index(conn: Conn) -> None:
    """The statement that the store runs, on a player with 50,000 scans: no sort, no filter, no row beyond the page."""
    player, other = make_player(conn), make_player(conn)
    conn.execute("ALTER TABLE player_scans DISABLE TRIGGER player_scans_append_events")
    conn.execute(
        """
        INSERT INTO player_scans (player_id, qr_code, scan_time)
        SELECT (ARRAY[%s, %s]::uuid[])[1 + n %% 2], 'x', now() - n * interval '1 minute'
        FROM generate_series(1, 100000) n
        """,
        (player, other),
    )
    conn.execute("ALTER TABLE player_scans ENABLE TRIGGER player_scans_append_events")
    conn.execute("ANALYZE player_scans")
    middle = datetime.now(UTC) - timedelta(minutes=50_000)
    plan = conn.execute(
        "EXPLAIN (ANALYZE, TIMING OFF) " + SELECT_HISTORY,
        {"player_id": player, "before_time": middle, "before_id": uuid4(), "limit": 50},
    ).fetchall()
    text = "\n".join(row[0] for row in plan)
    assert "Index Scan Backward using player_scans_history" in text
    assert "Sort" not in text
    assert "Filter" not in text
    (rows,) = re.findall(r"player_scans_history.*?rows=\d+ width=\d+\) \(actual rows=(\d+)", text)
    assert int(rows) == 50


@pytest.mark.parametrize("what", ["history", "inventory"])
def test_what_is_anothers_is_forbidden(client: Any, player: Player, conn: Conn, what: str) -> None:
    assert client.get(f"/player/{make_player(conn)}/{what}", headers=player.headers).status_code == 403
    assert client.get(f"/player/{player.id}/{what}").status_code == 401
    assert client.get(f"/player/x/{what}", headers=player.headers).status_code == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=!", "cursor=WyJhIiwiYiJd"])
def test_a_malformed_page(client: Any, player: Player, query: str) -> None:
    answer = client.get(f"/player/{player.id}/history?{query}", headers=player.headers)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["loc"] == f"query.{query.split('=', maxsplit=1)[0]}"


def test_inventory_is_the_sum_of_the_ledger(client: Any, player: Player, conn: Conn) -> None:
    entries = [("gem", 3), ("gem", -1), ("map", 1), ("lamp", 2), ("lamp", -2)]
    for item, quantity in entries:
        conn.execute(
            """
            INSERT INTO inventory_ledger (player_id, item, quantity, source, source_id)
            VALUES (%s, %s, %s, 'scan', %s)
            """,
            (player.id, item, quantity, uuid4()),
        )
    told = client.get(f"/player/{player.id}/inventory", headers=player.headers).json
    assert told == {"items": [{"item": "gem", "quantity": 2}, {"item": "map", "quantity": 1}]}


def test_a_player_sees_the_code_but_never_its_place(client: Any, player: Player, conn: Conn) -> None:
    make_code(conn, code="spy123", description="A spy's letterbox", place=AMSTERDAM)
    told = client.get("/qr/spy123", headers=player.headers)
    assert told.json == {
        "code": "spy123",
        "description": "A spy's letterbox",
        "scan_type": "item_drop",
        "requires_location": True,
    }
    assert client.get("/qr/other", headers=player.headers).status_code == 404
    assert client.get("/qr/spy123").status_code == 401
