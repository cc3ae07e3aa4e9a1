"""Sign-ins, sign-ups and claims over HTTP, with Waymark's catalog server."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import grpc
import pytest
import time_machine

from shared.infra.db import Conn
from shared.infra.redis import client as redis_client
from shared.quests import catalog_client, quest_pb2
from shared.quests.replay import ReplayCheckpoint, replay
from tests.conftest import Player
from tests.quests.conftest import Settings, Stand, closed_port
from tests.support.callers import SignedInPlayer, Staff, make_key, sign_in
from tests.support.factories import list_items, make_player

SIGNIN, SIGNUP, CLAIM = (f"/api/v1/track/{name}" for name in ("signin", "signup", "claim_reward"))
THREE = {"quest_name": "sign-in-three-times"}


def counts(conn: Conn) -> list[int]:
    tables = ("quest_events", "quest_states", "quest_claims", "inventory_ledger", "events", "idempotency_keys")
    rows = (conn.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables)
    return [row[0] for row in rows if row]


def test_three_sign_ins_complete_the_quest(client: Any, our_catalog: str, conn: Conn, ada: SignedInPlayer) -> None:
    for status in ("in_progress", "in_progress", "completed", "in_progress"):
        result = client.post(SIGNIN, headers=ada.headers)
        assert (result.status_code, result.json) == (200, {"message": "Sign-in tracked", "status": status})

    claimed = client.post(CLAIM, json=THREE, headers=ada.headers)
    again = client.post(CLAIM, json=THREE, headers=ada.headers)

    assert claimed.json == {"message": "Reward claimed successfully", "reward": {"item": "coin", "qty": 10}}
    assert (again.status_code, again.json["detail"]) == (409, "This quest is not completed yet.")
    assert list_items(conn, ada.id) == [("coin", 10)]


def test_no_round_starts_after_the_last_allowed_one(client: Any, stand: Stand, conn: Conn, ada: SignedInPlayer) -> None:
    stand.say(name="sign-in-three-times", streak=1, duplication=2, rewards={"reward_item": "coin", "reward_qty": 1})
    result = [client.post(SIGNIN, headers=ada.headers).json["status"] for _ in range(4)]
    claims = [client.post(CLAIM, json=THREE, headers=ada.headers) for _ in range(3)]

    assert result == ["completed", "completed", "max_completions_reached", "max_completions_reached"]
    assert [claim.status_code for claim in claims] == [200, 200, 409]
    assert claims[-1].json["detail"] == "This reward was claimed as often as allowed."
    assert list_items(conn, ada.id) == [("coin", 2)]


def test_a_sign_up_counts_once(client: Any, our_catalog: str, ada: SignedInPlayer) -> None:
    result = [client.post(SIGNUP, headers=ada.headers).json for _ in range(2)]
    assert result[0] == {"message": "Sign-up tracked", "status": "completed"}
    assert result[1] == {"message": "Sign-up tracked", "status": "max_completions_reached"}
    assert client.post(CLAIM, json={"quest_name": "sign-up"}, headers=ada.headers).status_code == 200
    over = client.post(CLAIM, json={"quest_name": "sign-up"}, headers=ada.headers)
    assert (over.status_code, over.json["detail"]) == (409, "This reward was claimed as often as allowed.")


def test_sign_ins_within_the_minimum_interval_do_not_count(
    client: Any, our_catalog: str, conn: Conn, ada: SignedInPlayer
) -> None:
    conn.execute("UPDATE quests SET min_interval_seconds = 60")
    now = datetime.now(UTC)
    statuses = []
    for seconds in (0, 1, 2, 59, 60, 119, 121, 122):
        with time_machine.travel(now + timedelta(seconds=seconds), tick=False):
            statuses.append(client.post(SIGNIN, headers=ada.headers).json["status"])
    assert statuses == [*["in_progress"] * 6, "completed", "in_progress"]

    quest = client.get("/api/v1/quests", headers=ada.headers).json["items"][0]
    assert (quest["min_interval_seconds"], quest["progress"]) == (60, 0)
    events = client.get("/api/v1/quests/events", headers=ada.headers).json["items"]
    assert [event["data"].get("reason") for event in events] == [
        *("too_soon", None, None, "too_soon", None, "too_soon", "too_soon", "too_soon", None)
    ]
    (batch,) = replay(ReplayCheckpoint())
    assert (batch.differences, batch.checkpoint.states) == ([], 1)


def test_registering_and_logging_in_advance_nothing(client: Any, our_catalog: str, conn: Conn, player: Player) -> None:
    assert counts(conn)[:2] == [0, 0]


def test_a_quest_with_auto_claim_pays_at_completion(client: Any, stand: Stand, conn: Conn, ada: SignedInPlayer) -> None:
    stand.say(
        name="sign-in-three-times",
        streak=2,
        duplication=1,
        auto_claim=True,
        rewards={"reward_item": "coin", "reward_qty": 7},
    )
    assert [client.post(SIGNIN, headers=ada.headers).json["status"] for _ in range(3)] == [
        "in_progress",
        "claimed",
        "max_completions_reached",
    ]
    assert list_items(conn, ada.id) == [("coin", 7)]
    assert client.post(CLAIM, json=THREE, headers=ada.headers).status_code == 409


def test_a_quest_without_a_reward(client: Any, stand: Stand, conn: Conn, ada: SignedInPlayer) -> None:
    stand.say(name="sign-in-three-times", streak=1, duplication=1, auto_claim=True)
    assert client.post(SIGNIN, headers=ada.headers).json["status"] == "completed"
    refused = client.post(CLAIM, json=THREE, headers=ada.headers)
    assert (refused.status_code, refused.json["detail"]) == (409, "This quest gives no reward.")
    assert list_items(conn, ada.id) == []


@pytest.mark.parametrize("name", ["no-such-quest", "sign up", "SIGN-UP", "\N{GRINNING FACE}", "*", "a" * 200])
def test_an_unknown_quest_returns_404(
    client: Any, our_catalog: str, conn: Conn, ada: SignedInPlayer, name: str
) -> None:
    refused = client.post(CLAIM, json={"quest_name": name}, headers=ada.headers)
    assert (refused.status_code, refused.json["detail"]) == (404, "There is no quest of this name.")
    assert counts(conn) == [0] * 6


@pytest.mark.parametrize(
    "body", [{}, {"quest_name": ""}, {"quest_name": "a" * 10_000}, {"quest_name": 1}, {**THREE, "player_id": "x"}]
)
def test_a_malformed_claim_returns_422(
    client: Any, our_catalog: str, conn: Conn, ada: SignedInPlayer, body: Any
) -> None:
    refused = client.post(CLAIM, json=body, headers=ada.headers)
    assert refused.status_code == 422
    assert refused.json["errors"][0]["loc"].startswith("body.")
    assert counts(conn) == [0] * 6


@pytest.mark.parametrize("path", [SIGNIN, SIGNUP, CLAIM])
def test_anonymous_requests_get_401(client: Any, our_catalog: str, path: str) -> None:
    assert client.post(path, json=THREE).status_code == 401
    assert client.get("/api/v1/quests").status_code == 401
    assert client.get("/api/v1/quests/events").status_code == 401


def test_a_retry_with_the_same_key_is_counted_once(
    client: Any, our_catalog: str, conn: Conn, ada: SignedInPlayer
) -> None:
    headers = {**ada.headers, "Idempotency-Key": "first"}
    result = [client.post(SIGNIN, headers=headers) for _ in range(5)]
    assert {answer.json["status"] for answer in result} == {"in_progress"}
    assert counts(conn)[0] == 1
    assert client.post(SIGNUP, headers=headers).status_code == 422

    for _ in range(2):
        client.post(SIGNIN, headers=ada.headers)
    headers["Idempotency-Key"] = "claim"
    claims = [client.post(CLAIM, json=THREE, headers=headers) for _ in range(3)]
    assert [claim.status_code for claim in claims] == [200] * 3
    assert list_items(conn, ada.id) == [("coin", 10)]


def test_a_stored_response_is_returned_without_the_catalog(client: Any, stand: Stand, ada: SignedInPlayer) -> None:
    stand.say(name="sign-in-three-times", streak=3, duplication=1)
    headers = {**ada.headers, "Idempotency-Key": "first"}
    result = client.post(SIGNIN, headers=headers)
    redis_client().flushdb()
    catalog_client.clear_cache()
    stand.answer = lambda context: context.abort(grpc.StatusCode.UNKNOWN, "no")
    again = client.post(SIGNIN, headers=headers)
    assert (again.status_code, again.json) == (200, result.json)
    headers["Idempotency-Key"] = "second"
    assert client.post(SIGNIN, headers=headers).status_code == 503


def test_waiting_for_the_catalog_holds_no_connection(app: Any, stand: Stand, conn: Conn, ada: SignedInPlayer) -> None:
    asked, answered = threading.Event(), threading.Event()

    def slow(_context: grpc.ServicerContext) -> Any:
        asked.set()
        answered.wait(10)
        return quest_pb2.QuestResponse(name="sign-in-three-times", streak=3, duplication=1)

    stand.answer = slow
    with ThreadPoolExecutor(1) as thread:
        headers = {**ada.headers, "Idempotency-Key": "first"}
        result = thread.submit(lambda: app.test_client().post(SIGNIN, headers=headers).status_code)
        assert asked.wait(10)
        open_ = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in tr%'"
        ).fetchone()
        answered.set()
        assert (open_, result.result()) == ((0,), 200)


def test_quests_that_nothing_advances_are_not_listed(
    client: Any, our_catalog: str, conn: Conn, ada: SignedInPlayer, set_settings: Settings
) -> None:
    """Only quests that sign-ins or sign-ups advance, or that have progress, are listed."""

    def shown() -> dict[str, Any]:
        return {each["name"]: each for each in client.get("/api/v1/quests", headers=ada.headers).json["items"]}

    assert list(shown()) == ["sign-in-three-times", "sign-up"]
    set_settings(signin_quest="seven-days-in-a-row")
    assert list(shown()) == ["seven-days-in-a-row", "sign-up"]
    client.post(SIGNIN, headers=ada.headers)
    set_settings(signin_quest="sign-in-three-times")
    days = shown()["seven-days-in-a-row"]
    assert [days[name] for name in ("daily", "grace_days", "progress")] == [True, 1, 1]
    conn.execute("DELETE FROM quests WHERE name = 'sign-up'")  # of an external catalog
    assert list(shown()) == ["seven-days-in-a-row", "sign-in-three-times", "sign-up"]


def test_three_time_zones_in_a_minute_make_one_daily_step(
    client: Any, our_catalog: str, ada: SignedInPlayer, set_settings: Settings
) -> None:
    set_settings(signin_quest="seven-days-in-a-row")
    for zone in ("Pacific/Honolulu", "UTC", "Pacific/Kiritimati"):
        client.patch("/users/me", json={"timezone": zone}, headers=ada.headers)
        assert client.post(SIGNIN, headers=ada.headers).json["status"] == "in_progress"
    days, _ = client.get("/api/v1/quests", headers=ada.headers).json["items"]
    assert (days["name"], days["progress"]) == ("seven-days-in-a-row", 1)
    # In the zone of the first sign-in, which counted.
    assert days["days"] == [datetime.now(ZoneInfo("Pacific/Honolulu")).date().isoformat()]


def test_progress_and_events_are_the_players_own(client: Any, our_catalog: str, app: Any, conn: Conn) -> None:
    ada, grace = sign_in(app, conn, "ada"), sign_in(app, conn, "grace")
    for _ in range(4):
        client.post(SIGNIN, headers=ada.headers)
    client.post(CLAIM, json=THREE, headers=ada.headers)

    mine = {each["name"]: each for each in client.get("/api/v1/quests", headers=ada.headers).json["items"]}
    theirs = {each["name"]: each for each in client.get("/api/v1/quests", headers=grace.headers).json["items"]}

    assert list(mine) == ["sign-in-three-times", "sign-up"], "the others are not switched on"
    three = mine["sign-in-three-times"]
    assert three["reward"] == {"item": "coin", "qty": 10, "org_id": None}
    assert [three[name] for name in ("streak", "duplication", "progress", "completions", "claims", "claimable")] == [
        *(3, 10, 1, 1, 1, 0)
    ]
    assert three["status"] == "in_progress"
    assert theirs["sign-in-three-times"]["completions"] == 0

    events = client.get("/api/v1/quests/events", headers=ada.headers).json
    assert [each["type"] for each in reversed(events["items"])] == [
        *("quest_step", "quest_step", "quest_step", "quest_completed", "quest_step", "reward_claimed")
    ]
    assert events["items"][0]["data"]["terms"]["streak"] == 3
    assert client.get("/api/v1/quests/events", headers=grace.headers).json == {"items": [], "next_cursor": None}


def test_lists_page_by_page(client: Any, our_catalog: str, ada: SignedInPlayer) -> None:
    for _ in range(4):
        client.post(SIGNIN, headers=ada.headers)
    for path, key in (("/api/v1/quests", "name"), ("/api/v1/quests/events", "id")):
        whole = [each[key] for each in client.get(path, headers=ada.headers).json["items"]]
        paged, cursor = [], ""
        while cursor is not None:
            result = client.get(f"{path}?limit=1{cursor and f'&cursor={cursor}'}", headers=ada.headers).json
            paged += [each[key] for each in result["items"]]
            cursor = result["next_cursor"]
        assert paged == whole
        assert client.get(f"{path}?cursor=x", headers=ada.headers).status_code == 422


def test_progress_is_published_to_the_player(client: Any, our_catalog: str, conn: Conn, ada: SignedInPlayer) -> None:
    for _ in range(3):
        client.post(SIGNIN, headers=ada.headers)
    client.post(CLAIM, json=THREE, headers=ada.headers)
    result = conn.execute("SELECT type, data FROM events WHERE player_id = %s ORDER BY id", (ada.id,)).fetchall()
    quest = {"quest": "sign-in-three-times"}
    assert result == [
        *(("quest_progress", {**quest, "progress": n, "streak": 3}) for n in (1, 2, 3)),
        ("quest_completed", {**quest, "completions": 1}),
        ("reward_granted", {**quest, "reward": "coin", "quantity": 10}),
    ]


def test_without_the_catalog_cached_quests_work_and_others_get_503(
    client: Any,
    our_catalog: str,
    conn: Conn,
    ada: SignedInPlayer,
    set_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert client.post(SIGNIN, headers=ada.headers).status_code == 200
    monkeypatch.setattr(catalog_client, "_key", lambda name: f"kept:{name}")  # as before, whatever the address
    catalog_client.clear_cache()
    assert client.post(SIGNIN, headers=ada.headers).status_code == 200
    set_settings(grpc_server_url=f"127.0.0.1:{closed_port()}", grpc_deadline_seconds=0.3, grpc_cache_ttl_seconds=0)
    before = counts(conn)

    assert client.post(SIGNIN, headers=ada.headers).json["status"] == "completed"
    refused = client.post(SIGNUP, headers=ada.headers)

    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert refused.content_type == "application/problem+json"
    assert refused.json["detail"] == "The quest catalog is unavailable. Retry shortly."
    assert counts(conn)[1:4] == before[1:4]
    assert counts(conn)[0] == before[0] + 2, "the sign-in that completed, and nothing of the sign-up"


def test_the_quest_of_sign_ins_is_a_setting(
    client: Any, our_catalog: str, ada: SignedInPlayer, set_settings: Settings
) -> None:
    set_settings(signin_quest="sign-up")
    assert client.post(SIGNIN, headers=ada.headers).json == {"message": "Sign-in tracked", "status": "completed"}
    set_settings(signin_quest="nothing")
    assert client.post(SIGNIN, headers=ada.headers).status_code == 404
    set_settings(signin_quest="three-landmarks")
    refused = client.post(SIGNIN, headers=ada.headers)
    assert (refused.status_code, refused.json["detail"]) == (409, "This quest is advanced by scans.")


def test_service_tracks_the_actions_of_any_player(
    client: Any, our_catalog: str, conn: Conn, ada: SignedInPlayer, staff: Staff
) -> None:
    key = make_key(conn, staff.org_id, "track")

    def track(path: str = SIGNIN, **body: Any) -> tuple[int, str]:
        response = client.post(path, json=body, headers=key.headers)
        return response.status_code, response.json.get("status")

    assert [track(player_id=str(ada.id)) for _ in range(3)] == [
        *[(200, "in_progress")] * 2,
        (200, "completed"),
    ]
    assert track(SIGNUP, player_id=str(ada.id)) == (200, "completed")
    assert track()[0] == 422
    assert track(player_id="3")[0] == 422
    assert track(player_id=str(uuid4()))[0] == 404
    erased = make_player(conn)
    conn.execute("UPDATE players SET erased_at = now() WHERE id = %s", (erased,))
    assert track(player_id=str(erased))[0] == 404
    assert client.post(CLAIM, json=THREE, headers=key.headers).status_code == 403
    assert client.post(CLAIM, json=THREE, headers=ada.headers).status_code == 200


def test_retry_of_a_service_counts_once(
    client: Any, our_catalog: str, conn: Conn, ada: SignedInPlayer, staff: Staff
) -> None:
    headers = make_key(conn, staff.org_id, "track").headers | {"Idempotency-Key": "1"}
    for _ in range(2):
        assert client.post(SIGNIN, json={"player_id": str(ada.id)}, headers=headers).json["status"] == "in_progress"
    assert client.get("/api/v1/quests", headers=ada.headers).json["items"][0]["progress"] == 1


def test_players_track_only_their_own_actions(client: Any, our_catalog: str, conn: Conn, ada: SignedInPlayer) -> None:
    assert client.post(SIGNIN, json={"player_id": str(ada.id)}, headers=ada.headers).status_code == 200
    assert client.post(SIGNIN, json={"player_id": str(make_player(conn))}, headers=ada.headers).status_code == 403


@pytest.mark.parametrize("path", [SIGNIN, SIGNUP])
def test_only_a_service_tracks_actions_if_a_key_is_required(
    client: Any, our_catalog: str, conn: Conn, ada: SignedInPlayer, staff: Staff, set_settings: Settings, path: str
) -> None:
    body = {"player_id": str(ada.id)}
    set_settings(track_requires_key="true")
    refused = client.post(path, headers=ada.headers)
    assert (refused.status_code, refused.json["detail"]) == (
        403,
        "Only a service with an API key of the scope track can submit this.",
    )
    tracking, scanning = make_key(conn, staff.org_id, "track"), make_key(conn, staff.org_id, "scan")
    assert client.post(path, json=body, headers=tracking.headers).status_code == 200
    assert client.post(path, json=body, headers=scanning.headers).status_code == 403

    set_settings(track_organizations=str(uuid4()))
    assert client.post(path, json=body, headers=tracking.headers).status_code == 403
    set_settings(track_organizations=f"{uuid4()}, {staff.org_id}")
    assert client.post(path, json=body, headers=tracking.headers).status_code == 200
