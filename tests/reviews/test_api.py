"""Reviews over HTTP: list, release and annul, once each, with all effects."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.infra.db import Conn
from shared.scans import settlement
from shared.scans import store as scans
from tests.encounters.factories import answer, balance, make_puzzle
from tests.reviews.factories import events_of, hold, location_code, scan, status, use_count
from tests.support.callers import Staff, make_staff, sign_in
from tests.support.crashes import Crash, crash_after
from tests.support.factories import AMSTERDAM, LISBON, list_items, make_code, make_org, make_player


@pytest.fixture
def review(client: Any, staff: Staff) -> Any:
    """Review as the admin: `review(scan_id, "release")`."""

    def ask(scan_id: object, action: str, method: str = "POST") -> Any:
        url = f"{staff.path}/scans/{scan_id}/{action}"
        return client.open(url, method=method, headers=staff.admin.headers)

    return ask


def test_released_scan_has_all_effects_of_a_success(conn: Conn, staff: Staff, review: Any) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id, reward_quantity=3, max_scans=5)
    held = hold(conn, player, code, staff.org_id)
    assert (balance(conn, player), use_count(conn, code)) == (0, 0)

    released = review(held, "release")

    assert released.status_code == 200
    assert status(conn, held) == ("success", None)
    assert list_items(conn, player) == [("gem", 3)]
    assert use_count(conn, code) == 1
    gem = {"reward": "gem", "quantity": 3, "org_id": str(staff.org_id)}
    verdict = {"status": "success", "previous_status": "held"}
    assert events_of(conn, held) == [
        ("scan_result", {"status": "held", "reason": "impossible_travel"}),
        ("scan_reviewed", verdict | {"reviewed_by": str(staff.admin.id)}),
        ("scan_result", verdict | gem),
        ("reward_granted", gem),
    ]
    shown = released.json
    assert (shown["scan_id"], shown["status"], shown["reason"]) == (str(held), "success", None)
    assert (shown["held_for"], shown["reviewed_by"]) == ("impossible_travel", str(staff.admin.id))
    assert shown["reviewed_at"].endswith("Z")


def test_held_scan_uses_no_stock_until_it_is_released(client: Any, conn: Conn, staff: Staff, review: Any) -> None:
    """The next honest player gets the last one. A release beyond the stock is refused, unless it is forced."""
    cheat, honest, code = make_player(conn), make_player(conn), make_code(conn, staff.org_id, max_scans=1)
    held = hold(conn, cheat, code, staff.org_id)
    won = scan(conn, honest, code)
    assert (status(conn, won), use_count(conn, code)) == (("success", None), 1)

    refused = review(held, "release")

    assert (refused.status_code, status(conn, held)[0], balance(conn, cheat)) == (409, "held", 0)
    assert "force" in refused.json["detail"]
    url = f"{staff.path}/scans/{held}/release"
    forced = client.post(url, json={"force": True}, headers=staff.admin.headers)
    assert (forced.json["status"], balance(conn, cheat), use_count(conn, code)) == ("success", 1, 2)
    review(held, "annul")
    assert (balance(conn, cheat), use_count(conn, code)) == (0, 1)


def test_events_of_the_player_do_not_name_the_reviewer(conn: Conn, staff: Staff, review: Any) -> None:
    player = make_player(conn)
    held = hold(conn, player, make_code(conn, staff.org_id), staff.org_id)
    review(held, "release")
    events = conn.execute("SELECT data::text FROM events WHERE player_id = %s", (player,)).fetchall()
    assert len(events) > 2
    assert not [row for row in events if str(staff.admin.id) in row[0]]


def test_annulled_success_has_no_effect_left(conn: Conn, staff: Staff, review: Any) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id, max_scans=1)
    won = scan(conn, player, code)
    assert list_items(conn, player) == [("gem", 1)]

    assert review(won, "annul").json["status"] == "annulled"

    assert status(conn, won) == ("annulled", None)
    assert list_items(conn, player) == []
    assert use_count(conn, code) == 0
    assert events_of(conn, won)[2:] == [
        ("scan_reviewed", {"status": "annulled", "previous_status": "success", "reviewed_by": str(staff.admin.id)}),
        ("scan_result", {"status": "annulled", "previous_status": "success"}),
    ]
    # Neither the stock nor the player's limit counts the annulled scan.
    again = scan(conn, player, code)
    assert status(conn, again) == ("success", None)
    assert list_items(conn, player) == [("gem", 1)]


def test_annulled_hold_writes_no_ledger_entry(conn: Conn, staff: Staff, review: Any) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id)
    held = hold(conn, player, code, staff.org_id)
    assert review(held, "annul").json["held_for"] == "impossible_travel"
    assert (status(conn, held), balance(conn, player), use_count(conn, code)) == (("annulled", None), 0, 0)
    assert conn.execute("SELECT count(*) FROM inventory_ledger").fetchone() == (0,)


def test_released_scan_can_be_annulled_but_not_released_again(conn: Conn, staff: Staff, review: Any) -> None:
    player = make_player(conn)
    held = hold(conn, player, make_code(conn, staff.org_id), staff.org_id)
    assert [review(held, action).status_code for action in ("release", "annul", "release")] == [200, 200, 409]
    assert balance(conn, player) == 0
    assert conn.execute("SELECT source, quantity FROM inventory_ledger ORDER BY id").fetchall() == [
        ("scan", 1),
        ("annulment", -1),
    ]


@pytest.mark.parametrize("action", ["release", "annul"])
def test_repeated_review_changes_nothing(conn: Conn, staff: Staff, review: Any, action: str) -> None:
    held = hold(conn, make_player(conn), make_code(conn, staff.org_id), staff.org_id)
    first = review(held, action)
    counts = """
        SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM inventory_ledger),
               (SELECT sum(use_count) FROM qr_codes)
    """
    before = conn.execute(counts).fetchone()
    again = review(held, action)
    assert (again.status_code, again.json) == (200, first.json)
    assert conn.execute(counts).fetchone() == before


@pytest.mark.parametrize("action", ["release", "annul"])
def test_review_of_any_other_scan_is_409_or_404(conn: Conn, staff: Staff, review: Any, action: str) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id)
    won = scan(conn, player, code)
    failed = scan(conn, player, code)
    pending = scans.accept(conn, scans.NewScan(player, str(conn.execute("SELECT code FROM qr_codes").fetchone()[0])))  # type: ignore[index]
    unknown = scan_unknown(conn, player)

    assert review(failed, action).status_code == 409
    assert review(pending, action).status_code == 409
    assert review(won, action).status_code == (409 if action == "release" else 200)
    assert review(unknown, action).status_code == 404
    assert review(uuid4(), action).status_code == 404
    assert review("1", action).status_code == 404


def scan_unknown(conn: Conn, player: UUID) -> UUID:
    return scans.accept(conn, scans.NewScan(player, "no-such-code"))


@pytest.mark.parametrize("action", ["release", "annul", "explain"])
def test_scan_of_another_organization_is_404(
    app: Any, client: Any, conn: Conn, staff: Staff, review: Any, action: str
) -> None:
    other = make_staff(app, conn)
    held = hold(conn, make_player(conn), make_code(conn, other.org_id), other.org_id)
    assert review(held, action, "GET" if action == "explain" else "POST").status_code == 404
    assert status(conn, held)[0] == "held"


def test_reviews_are_listed_newest_first(app: Any, client: Any, conn: Conn, staff: Staff, review: Any) -> None:
    other = make_org(conn)
    hold(conn, make_player(conn), make_code(conn, other), other)
    player = make_player(conn, "mata_hari")
    held = [hold(conn, player, make_code(conn, staff.org_id), staff.org_id)]
    for _ in range(2):
        conn.execute("DELETE FROM events")
        held.append(hold(conn, make_player(conn), make_code(conn, staff.org_id), staff.org_id))

    def listed(query: str) -> tuple[list[str], Any]:
        page = client.get(f"{staff.path}/scans{query}", headers=staff.admin.headers).json
        return [item["scan_id"] for item in page["items"]], page

    newest_first = [str(scan_id) for scan_id in reversed(held)]
    assert listed("")[0] == listed("?status=held")[0] == newest_first
    first, page = listed("?limit=2")
    assert first == newest_first[:2]
    assert listed(f"?limit=2&cursor={page['next_cursor']}")[0] == newest_first[2:]
    item = listed("")[1]["items"][-1]
    assert (item["username"], item["reason"], item["held_for"]) == ("mata_hari", *["impossible_travel"] * 2)
    assert (item["latitude"], item["longitude"], item["reward"]) == (LISBON.latitude, LISBON.longitude, "gem")

    review(held[0], "annul")
    assert (listed("")[0], listed("?status=annulled")[0]) == (newest_first[:2], newest_first[2:])
    for invalid in ("?status=none", "?status=", "?limit=0", "?cursor=x"):
        assert client.get(f"{staff.path}/scans{invalid}", headers=staff.admin.headers).status_code == 422


# Other effects ---------------------------------------------------------------------------------------


def test_annulment_reverses_the_reward_of_a_puzzle(
    app: Any, client: Any, conn: Conn, staff: Staff, review: Any
) -> None:
    ada = sign_in(app, conn)
    code, puzzle = make_puzzle(conn, staff.org_id, reward_quantity=7)
    held = hold(conn, ada.id, code, staff.org_id)
    assert answer(client, ada, puzzle).status_code == 403
    review(held, "release")
    # The reward is paid when the puzzle is solved.
    assert balance(conn, ada.id) == 0
    assert answer(client, ada, puzzle).json["quantity"] == 7

    review(held, "annul")

    assert balance(conn, ada.id) == 0
    assert answer(client, ada, puzzle).status_code == 403


def test_annulment_restores_the_previous_location(conn: Conn, staff: Staff, review: Any) -> None:
    player = make_player(conn)
    gates = {}
    for name in ("north", "south", "east"):
        make_code(conn, staff.org_id, code=name)
        gates[name] = make_code(
            conn, staff.org_id, scan_type="transportation", destination_code=name, per_player_limit=None
        )
    north = scan(conn, player, gates["north"])
    held = hold(conn, player, gates["east"], staff.org_id)
    south = scan(conn, player, gates["south"])
    assert location_code(conn, player) == "south"

    review(held, "release")
    assert location_code(conn, player) == "east"
    review(south, "annul")
    assert location_code(conn, player) == "east"
    review(held, "annul")
    assert location_code(conn, player) == "north"
    review(north, "annul")
    assert location_code(conn, player) is None


def test_annulment_keeps_a_location_set_by_something_else(conn: Conn, staff: Staff, review: Any) -> None:
    player = make_player(conn)
    make_code(conn, staff.org_id, code="north")
    moved = scan(conn, player, make_code(conn, staff.org_id, scan_type="transportation", destination_code="north"))
    conn.execute("UPDATE players SET location_code = 'other'")
    review(moved, "annul")
    assert location_code(conn, player) == "other"


def test_annulled_scan_is_no_location_fix(conn: Conn, staff: Staff, review: Any) -> None:
    player = make_player(conn)
    annulled = scan(conn, player, make_code(conn, staff.org_id), LISBON)
    review(annulled, "annul")
    assert status(conn, scan(conn, player, make_code(conn, staff.org_id), AMSTERDAM)) == ("success", None)


def test_review_invalidates_cached_statistics(client: Any, conn: Conn, staff: Staff, review: Any) -> None:
    def counted() -> Any:
        return client.get(f"{staff.path}/stats", headers=staff.analyst.headers).json["scans"]

    held = hold(conn, make_player(conn), make_code(conn, staff.org_id), staff.org_id)
    assert (counted()["held"], counted()["success"]) == (1, 1)
    review(held, "release")
    assert (counted()["held"], counted()["success"]) == (0, 2)
    review(held, "annul")
    assert (counted()["held"], counted()["success"], counted()["total"]) == (0, 1, 2)


def test_player_sees_the_reviewed_verdict(app: Any, client: Any, conn: Conn, staff: Staff, review: Any) -> None:
    ada = sign_in(app, conn)
    held = hold(conn, ada.id, make_code(conn, staff.org_id), staff.org_id)

    def seen() -> Any:
        return client.get(f"/scan/{held}", headers=ada.headers).json

    assert (seen()["status"], seen()["reason"], seen().get("reward")) == ("held", "impossible_travel", None)
    review(held, "release")
    assert (seen()["status"], seen().get("reason"), seen()["reward"]) == ("success", None, "gem")
    review(held, "annul")
    assert (seen()["status"], seen().get("reason"), seen().get("reward")) == ("annulled", None, None)
    entry = client.get(f"/player/{ada.id}/history", headers=ada.headers).json["scans"][0]
    assert (entry["status"], entry["success"]) == ("annulled", False)


@pytest.mark.parametrize("action", ["release", "annul"])
def test_crash_during_a_review_changes_nothing(
    conn: Conn, staff: Staff, review: Any, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id)
    held = hold(conn, player, code, staff.org_id)
    ledger = conn.execute("SELECT count(*) FROM inventory_ledger").fetchone()

    with monkeypatch.context() as broken:
        crash_after(broken, settlement, "append_events")
        with pytest.raises(Crash):
            review(held, action)
    assert (status(conn, held)[0], use_count(conn, code)) == ("held", 0)
    assert conn.execute("SELECT count(*) FROM inventory_ledger").fetchone() == ledger
    assert review(held, action).status_code == 200
