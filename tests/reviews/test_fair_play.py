"""Fair-play rules: identical coordinates and bursts, within a batch, between batches, and under races."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from shared.infra import db, leases
from shared.infra.db import Conn
from shared.scans import judging_queries, rules, settlement
from shared.scans.judging_limits import from_settings
from shared.scans.rules import Coordinates
from shared.settings import settings
from tests.reviews.factories import status
from tests.support.callers import Staff
from tests.support.factories import AMSTERDAM, make_code, make_org, make_player, submit_scan
from tests.support.sql_guards import without_guards
from workers.scans import judge_pending

NOW = datetime.now(UTC)
SAME = {"identical_coordinates": {"window_seconds": 3_600, "players": 2}}
THREE = {"identical_coordinates": {"window_seconds": 3_600, "players": 3}}
PER_PLAYER = {"burst": {"window_seconds": 60, "per_player": 2, "per_code": None}}
PER_CODE = {"burst": {"window_seconds": 60, "per_player": None, "per_code": 2}}
SPOT = Coordinates(52.373123456789012, 4.892654321098765)
A_HAIR_OFF = Coordinates(SPOT.latitude + 1e-14, SPOT.longitude)
HELD = ("held", "identical_coordinates")
BURST = ("held", "burst")
SUCCESS = ("success", None)
TWO_AND_BURST = [SUCCESS, SUCCESS, BURST]
Submission = tuple[str, str, Coordinates | None, float]
"""Player, code, coordinates, and minutes."""


def make_org_with(conn: Conn, fair_play: dict[str, Any] | None) -> UUID:
    org_id = make_org(conn)
    conn.execute("UPDATE organizations SET fair_play = %s WHERE id = %s", (fair_play and Jsonb(fair_play), org_id))
    return org_id


@pytest.mark.parametrize("one_batch", [True, False], ids=["one batch", "one by one"])
@pytest.mark.parametrize(
    ("fair_play", "submissions", "expected"),
    [
        (SAME, [("ada", "x", SPOT, 0), ("bob", "x", SPOT, 1)], [SUCCESS, HELD]),
        (SAME, [("ada", "x", SPOT, 0), ("bob", "y", SPOT, 1)], [SUCCESS, HELD]),  # any code of the organization
        (SAME, [("ada", "x", SPOT, 0), ("ada", "y", SPOT, 1)], [SUCCESS, SUCCESS]),  # one player
        (SAME, [("ada", "x", SPOT, 0), ("bob", "x", A_HAIR_OFF, 1)], [SUCCESS, SUCCESS]),
        (SAME, [("ada", "x", SPOT, 0), ("bob", "x", SPOT, 59)], [SUCCESS, HELD]),
        (SAME, [("ada", "x", SPOT, 0), ("bob", "x", SPOT, 60)], [SUCCESS, SUCCESS]),
        (SAME, [("ada", "x", None, 0), ("bob", "x", None, 1)], [SUCCESS, SUCCESS]),
        (SAME, [("ada", "x", SPOT, 0), ("bob", "x", SPOT, 1), ("cy", "x", SPOT, 2)], [SUCCESS, HELD, HELD]),
        (THREE, [("ada", "x", SPOT, 0), ("bob", "x", SPOT, 1), ("cy", "x", SPOT, 2)], [SUCCESS, SUCCESS, HELD]),
        (None, [("ada", "x", SPOT, 0), ("bob", "x", SPOT, 1)], [SUCCESS, SUCCESS]),
        (
            PER_PLAYER,
            [("ada", "x", None, 0), ("ada", "y", None, 0.4), ("ada", "z", None, 0.9)],
            [SUCCESS, SUCCESS, BURST],
        ),
        (PER_PLAYER, [("ada", "x", None, 0), ("ada", "y", None, 0.4), ("ada", "z", None, 1)], [SUCCESS] * 3),
        (PER_PLAYER, [("ada", "x", None, 0), ("bob", "x", None, 0.1), ("ada", "y", None, 0.2)], [SUCCESS] * 3),
        (PER_PLAYER, [("ada", "x", None, 0)] * 3, TWO_AND_BURST),
        (PER_CODE, [("ada", "x", None, 0), ("bob", "x", None, 0.4), ("cy", "x", None, 0.9)], TWO_AND_BURST),
        (PER_CODE, [("ada", "x", None, 0), ("bob", "x", None, 0.4), ("cy", "y", None, 0.9)], [SUCCESS] * 3),
        (PER_CODE, [("ada", "x", None, 0), ("bob", "x", None, 0.4), ("cy", "x", None, 1)], [SUCCESS] * 3),
        (None, [("ada", "x", None, 0)] * 9, [SUCCESS] * 9),
    ],
)
def test_fair_play_holds_scans(
    conn: Conn, one_batch: bool, fair_play: dict[str, Any] | None, submissions: list[Submission], expected: list[Any]
) -> None:
    org_id = make_org_with(conn, fair_play)
    players = {name: make_player(conn) for name in ("ada", "bob", "cy")}
    codes = {name: make_code(conn, org_id, per_player_limit=None) for name in "xyz"}
    scans = []
    for player, code, coordinates, minutes in submissions:
        at = NOW - timedelta(hours=3) + timedelta(minutes=minutes)
        scans.append(submit_scan(conn, players[player], codes[code], coordinates, scanned_at=at))
        if not one_batch:
            judge_pending()
    judge_pending()
    assert [status(conn, scan_id) for scan_id in scans] == expected


@pytest.mark.parametrize("one_batch", [True, False], ids=["one batch", "one by one"])
@pytest.mark.parametrize(
    ("api_keys", "by_key", "expected"),
    [
        (False, (True, True), [SUCCESS, SUCCESS]),  # a kiosk that never moves
        (True, (True, True), [SUCCESS, HELD]),
        (True, (True, False), [SUCCESS, SUCCESS]),
        (True, (False, True), [SUCCESS, SUCCESS]),
        (False, (False, False), [SUCCESS, HELD]),
    ],
)
def test_coordinates_of_api_keys_are_compared_with_each_other_if_enabled(
    conn: Conn, one_batch: bool, api_keys: bool, by_key: tuple[bool, bool], expected: list[Any]
) -> None:
    org_id = make_org_with(conn, {"identical_coordinates": {"window_seconds": 60, "players": 2, "api_keys": api_keys}})
    code, kiosk = make_code(conn, org_id), uuid4()
    scans = []
    for is_key in by_key:
        scan_id = submit_scan(conn, make_player(conn), code, SPOT)
        if is_key:
            conn.execute("UPDATE player_scans SET api_key_id = %s WHERE id = %s", (kiosk, scan_id))
        scans.append(scan_id)
        if not one_batch:
            judge_pending()
    judge_pending()
    assert [status(conn, scan_id) for scan_id in scans] == expected


def test_late_scans_are_held_if_the_organization_wants(conn: Conn) -> None:
    code = make_code(conn, make_org_with(conn, {"late": {"after_seconds": 3_600}}))
    scans = [
        submit_scan(conn, make_player(conn), code, scanned_at=NOW - timedelta(minutes=minutes)) for minutes in (30, 90)
    ]
    judge_pending()
    assert [status(conn, scan_id) for scan_id in scans] == [SUCCESS, ("held", "late")]


def test_late_scan_is_part_of_the_burst_after_it(conn: Conn) -> None:
    code, player = make_code(conn, make_org_with(conn, PER_PLAYER), per_player_limit=None), make_player(conn)
    for minutes in (0.2, 0.4, 0):
        scan_id = submit_scan(conn, player, code, scanned_at=NOW - timedelta(hours=3) + timedelta(minutes=minutes))
        judge_pending()
    assert status(conn, scan_id) == BURST


def test_fair_play_compares_scans_of_one_organization(conn: Conn) -> None:
    with_rules, other = make_org_with(conn, SAME | PER_PLAYER), make_org(conn)
    ada = make_player(conn)
    for _ in range(3):
        submit_scan(conn, ada, make_code(conn, other), SPOT)
    first = submit_scan(conn, ada, make_code(conn, with_rules), SPOT)
    at_other = submit_scan(conn, make_player(conn), make_code(conn, other), SPOT)
    judge_pending()
    assert [status(conn, scan_id) for scan_id in (first, at_other)] == [SUCCESS, SUCCESS]
    assert conn.execute("SELECT count(*) FROM player_scans WHERE compare_coordinates").fetchone() == (1,)


def test_failed_and_annulled_scans_are_no_activity(conn: Conn) -> None:
    org_id = make_org_with(conn, SAME | PER_CODE)
    code = make_code(conn, org_id, AMSTERDAM)
    annulled = submit_scan(conn, make_player(conn), code, AMSTERDAM)
    judge_pending()
    conn.execute("UPDATE player_scans SET status = 'annulled' WHERE id = %s", (annulled,))
    far = Coordinates(1, 1)
    failed = [submit_scan(conn, make_player(conn), code, far) for _ in range(3)]
    judge_pending()
    assert [status(conn, scan_id) for scan_id in failed] == [("failure", "not_present")] * 3
    again = submit_scan(conn, make_player(conn), code, AMSTERDAM)
    judge_pending()
    assert status(conn, again) == SUCCESS


# Races ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
@pytest.mark.parametrize("fair_play", [SAME, {"burst": {"window_seconds": 60, "per_player": None, "per_code": 1}}])
def test_lock_of_the_organization_guards_fair_play(conn: Conn, guarded: bool, fair_play: dict[str, Any]) -> None:
    """Without the lock, the second worker loads its context before the first one settles."""
    org_id = make_org_with(conn, fair_play)
    code = make_code(conn, org_id)
    scans = [submit_scan(conn, make_player(conn), code, SPOT) for _ in range(2)]
    tokens = [uuid4() for _ in scans]
    claimed = [
        leases.claim_new(conn, settlement.PENDING_SCANS, token, timedelta(seconds=10), limit=1) for token in tokens
    ]
    done = threading.Event()

    def settle(index: int, before_judging: Callable[[], None]) -> None:
        limits = from_settings(settings())
        with db.transaction() as own:
            locked, context = judging_queries.lock_and_read(own, tokens[index], claimed[index], limits)
            before_judging()
            settlement.settle(own, locked, rules.judge_all(locked, context, limits), has_quests=False)

    def second() -> None:
        settle(1, lambda: None)
        done.set()

    with ThreadPoolExecutor(1) as pool, without_guards(conn, *([] if guarded else ["lock_fair_play_organizations"])):
        other: Any = None

        def start_second() -> None:
            nonlocal other
            other = pool.submit(second)
            while not done.wait(0.005):
                if conn.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount:
                    return

        settle(0, start_second)
        other.result(timeout=30)
    statuses = sorted(status(conn, scan_id)[0] for scan_id in scans)
    assert statuses == (["held", "success"] if guarded else ["success", "success"])


# Settings -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def patch(client: Any, staff: Staff) -> Any:
    def send(fair_play: Any, role: str = "owner") -> Any:
        return client.patch(staff.path, json={"fair_play": fair_play}, headers=staff[role].headers)

    return send


OFF = {"identical_coordinates": None, "burst": None, "late": None}


def test_fair_play_is_off_until_an_owner_sets_it(client: Any, conn: Conn, staff: Staff, patch: Any) -> None:
    def read(role: str) -> Any:
        return client.get(staff.path, headers=staff[role].headers).json["fair_play"]

    assert read("owner") == OFF
    on = {
        "identical_coordinates": {"window_seconds": 86_400},
        "burst": {"window_seconds": 60, "per_code": 30},
        "late": {"after_seconds": 7_200},
    }
    stored = {
        "identical_coordinates": {"window_seconds": 86_400, "players": 2, "api_keys": False},
        "burst": {"window_seconds": 60, "per_player": None, "per_code": 30},
        "late": {"after_seconds": 7_200},
    }
    assert patch(on).json["fair_play"] == stored
    assert (read("admin"), read("analyst"), read("member")) == (stored, None, None)
    assert client.patch(staff.path, json={"name": "Other"}, headers=staff.owner.headers).json["fair_play"] == stored
    assert patch(on, "admin").status_code == 403
    assert patch({"burst": {"window_seconds": 5, "per_player": 1}}).json["fair_play"]["identical_coordinates"] is None
    for off in (None, {}, OFF):
        patch(on)
        assert patch(off).json["fair_play"] == OFF
        assert conn.execute("SELECT fair_play FROM organizations WHERE id = %s", (staff.org_id,)).fetchone() == (None,)


@pytest.mark.parametrize(
    ("fair_play", "loc"),
    [
        ("on", ""),
        ({"speed": {}}, ".speed"),
        ({"identical_coordinates": {}}, ".identical_coordinates.window_seconds"),
        ({"identical_coordinates": {"window_seconds": 0}}, ".identical_coordinates.window_seconds"),
        ({"identical_coordinates": {"window_seconds": 2_592_001}}, ".identical_coordinates.window_seconds"),
        ({"identical_coordinates": {"window_seconds": "60"}}, ".identical_coordinates.window_seconds"),
        ({"identical_coordinates": {"window_seconds": 60, "players": 1}}, ".identical_coordinates.players"),
        ({"identical_coordinates": {"window_seconds": 60, "players": None}}, ".identical_coordinates.players"),
        ({"burst": {"window_seconds": 60}}, ".burst"),
        ({"burst": {"window_seconds": 60, "per_player": 0}}, ".burst.per_player"),
        ({"burst": {"window_seconds": 60, "per_code": 100_001}}, ".burst.per_code"),
        ({"burst": {"window_seconds": 60, "per_code": 1.5}}, ".burst.per_code"),
        ({"burst": {"per_code": 1}}, ".burst.window_seconds"),
    ],
)
def test_invalid_fair_play_returns_422(patch: Any, fair_play: Any, loc: str) -> None:
    response = patch(fair_play)
    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == f"body.fair_play{loc}"


def test_fair_play_set_over_http_is_used_in_judging(conn: Conn, staff: Staff, patch: Any) -> None:
    patch({"identical_coordinates": {"window_seconds": 60}, "burst": {"window_seconds": 60, "per_player": 50}})
    code = make_code(conn, staff.org_id)
    scans = [submit_scan(conn, make_player(conn), code, SPOT) for _ in range(2)]
    judge_pending()
    assert sorted(status(conn, scan_id)[0] for scan_id in scans) == ["held", "success"]
