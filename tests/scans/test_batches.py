"""Scans made offline: stored once per nonce, each refused alone, judged in the order of their own time."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.infra import leases
from shared.infra.db import Conn
from shared.infra.timestamps import format_rfc3339
from shared.organizations.api_keys import ApiKey
from shared.scans.batches import accept_all
from shared.scans.settlement import PENDING_SCANS
from shared.scans.store import NewScan
from tests.conftest import Player
from tests.support.callers import make_key
from tests.support.factories import make_code, make_org, make_player
from tests.support.sql_guards import without_guards
from workers import scans as worker

Send = Callable[..., Any]
LEASE = timedelta(seconds=10)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def item(player: Any, number: int = 0, age: timedelta = HOUR, **fields: Any) -> dict[str, Any]:
    """A scan of the code `spy123`, made an hour ago."""
    scanned_at = format_rfc3339(datetime.now(UTC) - age)
    return {"player_id": str(player.id), "qr_code": "spy123", "nonce": f"n{number}", "scanned_at": scanned_at} | fields


@pytest.fixture
def send(client: Any, player: Player) -> Send:
    """Submit a batch as the player: `send(item, item)`."""

    def submit(*scans: Any, headers: dict[str, str] | None = None, sent_at: datetime | None = None) -> Any:
        body = {"sent_at": format_rfc3339(sent_at or datetime.now(UTC)), "scans": scans}
        return client.post("/scans/batch", json=body, headers=headers or player.headers)

    return submit


def count(conn: Conn) -> int:
    return len(conn.execute("SELECT FROM player_scans").fetchall())


def verdicts(conn: Conn) -> list[tuple[str, str, str | None]]:
    """Nonce, status and reason of each scan, in the order of nonces."""
    return conn.execute("SELECT nonce, status, reason FROM player_scans ORDER BY nonce").fetchall()


def test_a_batch_returns_one_entry_per_scan_and_a_replay_changes_nothing(
    send: Send, player: Player, conn: Conn
) -> None:
    make_code(conn, code="spy123", per_player_limit=None)
    scans = [item(player, number) for number in range(100)]
    first = send(*scans)
    assert first.status_code == 202
    assert [(each["nonce"], each["status"]) for each in first.json["scans"]] == [
        (f"n{number}", "pending") for number in range(100)
    ]
    worker.judge_pending()
    assert send(*scans).json == first.json
    assert send(*reversed(scans)).json["scans"] == [*reversed(first.json["scans"])]
    assert {status for _, status, _ in verdicts(conn)} == {"success"}
    assert count(conn) == 100


def test_a_batch_above_the_limit_is_refused_and_an_empty_one_is_not(send: Send, player: Player, conn: Conn) -> None:
    response = send(*[item(player, number) for number in range(101)])
    assert (response.status_code, response.json["errors"]) == (
        422,
        [{"loc": "body.scans", "message": "Use at most 100 entries."}],
    )
    assert (send().status_code, send().json) == (202, {"scans": []})
    assert count(conn) == 0


@pytest.mark.parametrize(
    ("wrong", "loc", "nonce"),
    [
        ({"latitude": 91, "longitude": 0}, ".latitude", "n1"),
        ({"latitude": 1}, "", "n1"),
        ({"qr_code": ""}, ".qr_code", "n1"),
        ({"nonce": None}, ".nonce", None),
        ({"nonce": ""}, ".nonce", ""),
        ({"nonce": 7}, ".nonce", None),
        ({"scanned_at": None}, ".scanned_at", "n1"),
        ({"scanned_at": "yesterday"}, ".scanned_at", "n1"),
        ({"status": "success"}, ".status", "n1"),
        ({"player_id": "00000000-0000-7000-8000-000000000000"}, ".player_id", "n1"),
        ({"qr_code": "a\x00b"}, ".qr_code", "n1"),
        ({"nonce": "\ud800"}, ".nonce", None),
        ({"more": [[0] * 3]}, ".more", "n1"),
        (None, "", None),
    ],
)
def test_a_malformed_scan_is_refused_alone(
    send: Send, player: Player, conn: Conn, wrong: dict[str, Any] | None, loc: str, nonce: str | None
) -> None:
    response = send(item(player, 0), None if wrong is None else item(player, 1, **wrong), item(player, 2))
    first, refused, last = response.json["scans"]
    assert response.status_code == 202
    assert (first["status"], last["status"]) == ("pending", "pending")
    assert (refused["status"], refused["nonce"]) == ("refused", nonce)
    assert [error["loc"] for error in refused["errors"]] == ["body.scans.1" + loc]
    assert refused["errors"][0]["message"].endswith(".")
    assert count(conn) == 2


def test_a_scan_that_is_nested_too_deeply_is_refused_alone(client: Any, player: Player, conn: Conn) -> None:
    deep = "[" * 70 + "]" * 70
    body = f'{{"sent_at": "2026-02-12T10:00:00Z", "scans": [{{"nonce": {deep}}}, {json.dumps(item(player))}]}}'
    response = client.post("/scans/batch", data=body, content_type="application/json", headers=player.headers)
    refused, stored = response.json["scans"]
    assert (refused["nonce"], refused["status"], stored["status"]) == (None, "refused", "pending")
    assert "nested too deeply" in refused["errors"][0]["message"]
    # Outside the list, the whole body is refused.
    odd = client.post("/scans/batch", json={"sent_at": "\x00", "scans": []}, headers=player.headers)
    assert (odd.status_code, odd.json["errors"][0]["loc"]) == (422, "body.sent_at")
    assert count(conn) == 1


def test_a_missing_nonce_or_time_is_refused(send: Send, player: Player) -> None:
    for name in ("nonce", "scanned_at", "player_id", "qr_code"):
        scan = item(player)
        del scan[name]
        (entry,) = send(scan).json["scans"]
        assert entry["errors"] == [{"loc": f"body.scans.0.{name}", "message": "This field is required."}]


def test_a_scan_that_was_sent_live_is_that_scan(send: Send, client: Any, player: Player, conn: Conn) -> None:
    """W22: the response to the live scan was lost, so the client queues it with its time."""
    make_code(conn, code="spy123")
    live = {"player_id": str(player.id), "qr_code": "spy123", "nonce": "w22-1"}
    scan_id = client.post("/scan", json=live, headers=player.headers).json["scan_id"]
    worker.judge_pending()
    queued = [item(player, number) for number in range(10)] + [item(player, nonce="w22-1")]
    for _ in range(3):
        entries = send(*queued).json["scans"]
        assert {entry["status"] for entry in entries} == {"pending"}
        assert entries[-1]["scan_id"] == scan_id
    # The other way round, and by POST /scan alone.
    for name, fields in (("w22-1", {"scanned_at": "2026-02-12T10:00:00Z"}), ("n3", {})):
        repeated = client.post("/scan", json=live | {"nonce": name} | fields, headers=player.headers)
        assert repeated.status_code == 202
        assert repeated.json["scan_id"] == entries[-1 if name == "w22-1" else 3]["scan_id"]
    assert count(conn) == 11


def test_another_code_or_position_with_the_same_nonce_is_refused(send: Send, player: Player, conn: Conn) -> None:
    place: dict[str, Any] = {"latitude": 52.0, "longitude": 4.0}
    entries = send(item(player), item(player, qr_code="other"), item(player, **place), item(player)).json["scans"]
    assert [entry["status"] for entry in entries] == ["pending", "refused", "refused", "pending"]
    assert entries[1]["errors"] == [
        {
            "loc": "body.scans.1.nonce",
            "message": "This nonce was used for another scan. Repeat the same body to retry, or use a new nonce.",
        }
    ]
    assert entries[0]["scan_id"] == entries[3]["scan_id"]
    assert count(conn) == 1


def test_an_api_key_submits_for_players_that_exist(send: Send, player: Player, conn: Conn) -> None:
    org = make_org(conn)
    make_code(conn, org, code="spy123")
    make_code(conn, code="elsewhere")
    key = make_key(conn, org)
    erased = make_player(conn)
    conn.execute("UPDATE players SET erased_at = now() WHERE id = %s", (erased,))
    entries = send(
        item(player, 0),
        item(player, 1, qr_code="elsewhere"),
        item(player, 2, player_id="00000000-0000-7000-8000-000000000000"),
        item(player, 3, player_id=str(erased)),
        headers=key.headers,
    ).json["scans"]
    assert [entry["status"] for entry in entries] == ["pending", "pending", "refused", "refused"]
    assert entries[2]["errors"] == [{"loc": "body.scans.2.player_id", "message": "This player does not exist."}]
    worker.judge_pending()
    assert verdicts(conn) == [("n0", "success", None), ("n1", "failure", "unknown_code")]


@pytest.mark.parametrize(
    ("clock_error", "age", "verdict"),
    [
        (timedelta(), HOUR, "success"),
        (timedelta(days=400), HOUR, "success"),
        (timedelta(days=-400), HOUR, "success"),
        (timedelta(), 71 * HOUR, "success"),
        (timedelta(days=400), 73 * HOUR, "failure"),
        (timedelta(days=-400), 73 * HOUR, "failure"),
        (timedelta(), -HOUR, "success"),  # a clock that was set while the scan waited
    ],
)
def test_sent_at_corrects_the_clock(
    send: Send, player: Player, conn: Conn, clock_error: timedelta, age: timedelta, verdict: str
) -> None:
    make_code(conn, code="spy123")
    client_now = datetime.now(UTC) + clock_error
    send(item(player, scanned_at=format_rfc3339(client_now - age)), sent_at=client_now)
    worker.judge_pending()
    row = conn.execute(
        "SELECT received_at - scan_time, client_time, client_sent_at, status FROM player_scans"
    ).fetchone()
    assert row == (max(age, timedelta()), client_now - age, client_now, verdict)


def test_the_most_distant_times_can_be_stored(send: Send, player: Player, conn: Conn) -> None:
    first, last = datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)
    for number, (scanned_at, sent_at) in enumerate([(first, last), (last, first), (first, first), (last, last)]):
        (entry,) = send(item(player, number, scanned_at=format_rfc3339(scanned_at)), sent_at=sent_at).json["scans"]
        assert entry["status"] == "pending"
    worker.judge_pending()
    assert verdicts(conn)[0] == ("n0", "failure", "too_late")
    assert conn.execute("SELECT bool_and(scan_time <= received_at) FROM player_scans").fetchone() == (True,)


def test_cooldown_and_player_limit_follow_the_time_of_the_scans(send: Send, player: Player, conn: Conn) -> None:
    """Uploaded last first: each counts by its own time."""
    make_code(conn, code="spy123", cooldown_seconds=600, per_player_limit=2)
    ages = {"n0": 20 * MINUTE, "n1": 35 * MINUTE, "n2": 40 * MINUTE, "n3": 60 * MINUTE}
    send(*[item(player, number, age) for number, age in enumerate(ages.values())])
    worker.judge_pending()
    # All arrive at once, so the server's clock sees no time between them.
    assert verdicts(conn) == [
        ("n0", "failure", "cooldown"),
        ("n1", "failure", "cooldown"),
        ("n2", "failure", "cooldown"),
        ("n3", "success", None),
    ]
    make_code(conn, code="twice", per_player_limit=2)
    send(*[item(player, 10 + number, age, qr_code="twice") for number, age in enumerate(ages.values())])
    worker.judge_pending()
    assert [(status, reason) for _, status, reason in verdicts(conn)[2:6]] == [
        ("failure", "player_limit"),
        ("failure", "player_limit"),
        ("success", None),
        ("success", None),
    ]


def accept(conn: Conn, player: UUID, ages: list[timedelta], key: Any = None) -> list[UUID]:
    now = datetime.now(UTC)
    scans = [NewScan(player, "spy123", scanned_at=now - age, nonce=f"n{number}") for number, age in enumerate(ages)]
    return [scan_id for scan_id in accept_all(conn, scans, sent_at=now, key=key) if isinstance(scan_id, UUID)]


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_a_batch_that_two_workers_share_is_judged_in_order(conn: Conn, guarded: bool) -> None:
    """The second worker is faster. Its scan waits for the one before it, and is retried after it."""
    make_code(conn, code="spy123", per_player_limit=1)
    accept(conn, make_player(conn), [HOUR, 2 * HOUR])
    tokens = [uuid4(), uuid4()]
    claims = {token: leases.claim_new(conn, PENDING_SCANS, token, LEASE, limit=1) for token in tokens}
    with without_guards(conn, *([] if guarded else ["postpone_scans"])):
        if guarded:
            with pytest.raises(leases.LeaseLost):
                worker.judge(tokens[1], claims[tokens[1]])
        else:
            worker.judge(tokens[1], claims[tokens[1]])
        worker.judge(tokens[0], claims[tokens[0]])
    postponed = conn.execute(
        "SELECT nonce, attempts, lease_until > now() FROM player_scans WHERE status = 'pending'"
    ).fetchall()
    assert postponed == ([("n0", 0, True)] if guarded else [])
    conn.execute("UPDATE player_scans SET lease_until = now() WHERE status = 'pending'")
    worker.judge_pending()
    right = [("n0", "failure", "player_limit"), ("n1", "success", None)]
    assert verdicts(conn) == (
        right if guarded else [(nonce, *other) for (nonce, *_), (_, *other) in zip(right, right[::-1], strict=True)]
    )


def test_a_scan_waits_for_its_own_batch_only(conn: Conn) -> None:
    """Not for other players, other submitters or other batches, and not for a scan that is dead-lettered."""
    org, player = make_org(conn), make_player(conn)
    make_code(conn, org, code="spy123", per_player_limit=None)
    accept(conn, player, [3 * HOUR])
    accept(conn, make_player(conn), [3 * HOUR])
    key = make_key(conn, org)
    accept(conn, player, [3 * HOUR], ApiKey(key.id, org, ("scan",), "wm"))
    earlier = leases.claim_new(conn, PENDING_SCANS, uuid4(), LEASE, limit=3)
    assert len(earlier) == 3
    now = datetime.now(UTC)
    accept_all(conn, [NewScan(player, "spy123", scanned_at=now - HOUR, nonce="other")], sent_at=now)
    worker.judge_pending()
    assert ("other", "success", None) in verdicts(conn)


def test_batches_with_the_same_scans_do_not_deadlock(send: Send, player: Player, conn: Conn) -> None:
    scans = [item(player, number) for number in range(100)]
    with ThreadPoolExecutor(4) as pool:
        orders = [scans, scans[::-1]] * 4
        responses = list(pool.map(lambda order: send(*order), orders))
    assert {response.status_code for response in responses} == {202}
    ids = {tuple(sorted(entry["scan_id"] for entry in response.json["scans"])) for response in responses}
    assert len(ids) == 1
    assert count(conn) == 100


def test_idempotency_key_returns_the_stored_response(client: Any, player: Player, conn: Conn) -> None:
    body = {"sent_at": "2026-02-12T10:00:00Z", "scans": [item(player)]}
    headers = player.headers | {"Idempotency-Key": "batch"}
    first, second = (client.post("/scans/batch", json=body, headers=headers) for _ in range(2))
    assert (first.status_code, second.json) == (202, first.json)
    other = client.post("/scans/batch", json=body | {"sent_at": "2026-02-12T10:00:01Z"}, headers=headers)
    assert other.status_code == 422
