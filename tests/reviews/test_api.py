"""Staff's review over HTTP: listed, released, annulled, once each, with all that it brings about and takes back."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.infra import event_log
from shared.infra.db import Conn
from shared.scans import store as scans
from tests.encounters.factories import answer, balance, make_puzzle
from tests.reviews.factories import hold, location_code, scan, status, taken, told
from tests.support.callers import Staff, make_staff, sign_in
from tests.support.factories import AMSTERDAM, LISBON, make_code, make_org, make_player


@pytest.fixture
def review(client: Any, staff: Staff) -> Any:
    """Asks as the admin: `review(scan_id, "release")`."""

    def ask(scan_id: object, action: str, method: str = "POST") -> Any:
        url = f"{staff.path}/scans/{scan_id}/{action}"
        return client.open(url, method=method, headers=staff.admin.headers)

    return ask


def test_a_released_scan_is_the_success_it_would_have_been(conn: Conn, staff: Staff, review: Any) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id, reward_quantity=3, max_scans=5)
    held = hold(conn, player, code, staff.org_id)
    assert (balance(conn, player), taken(conn, code)) == (0, 1)

    released = review(held, "release")

    assert released.status_code == 200
    assert status(conn, held) == ("success", None)
    assert scans.list_inventory(conn, player) == [("gem", 3)]
    assert taken(conn, code) == 1
    gem = {"reward": "gem", "quantity": 3}
    verdict = {"status": "success", "previous_status": "held"}
    assert told(conn, held) == [
        ("scan_result", {"status": "held", "reason": "impossible_travel"}),
        ("scan_reviewed", verdict | {"reviewed_by": str(staff.admin.id)}),
        ("scan_result", verdict | gem),
        ("reward_granted", gem),
    ]
    shown = released.json
    assert (shown["scan_id"], shown["status"], shown["reason"]) == (str(held), "success", None)
    assert (shown["held_for"], shown["reviewed_by"]) == ("impossible_travel", str(staff.admin.id))
    assert shown["reviewed_at"].endswith("Z")


def test_who_reviewed_is_for_staff_alone(conn: Conn, staff: Staff, review: Any) -> None:
    player = make_player(conn)
    held = hold(conn, player, make_code(conn, staff.org_id), staff.org_id)
    review(held, "release")
    seen = conn.execute("SELECT data::text FROM events WHERE player_id = %s", (player,)).fetchall()
    assert not [row for row in seen if str(staff.admin.id) in row[0]]


def test_an_annulled_success_leaves_nothing_behind(conn: Conn, staff: Staff, review: Any) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id, max_scans=1)
    won = scan(conn, player, code)
    assert scans.list_inventory(conn, player) == [("gem", 1)]

    assert review(won, "annul").json["status"] == "annulled"

    assert status(conn, won) == ("annulled", None)
    assert scans.list_inventory(conn, player) == []
    assert taken(conn, code) == 0
    assert told(conn, won)[2:] == [
        ("scan_reviewed", {"status": "annulled", "previous_status": "success", "reviewed_by": str(staff.admin.id)}),
        ("scan_result", {"status": "annulled", "previous_status": "success"}),
    ]
    again = scan(conn, player, code)  # its place is free, in the stock and in the player's limit
    assert status(conn, again) == ("success", None)
    assert scans.list_inventory(conn, player) == [("gem", 1)]


def test_an_annulled_hold_pays_nothing_and_takes_nothing(conn: Conn, staff: Staff, review: Any) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id)
    held = hold(conn, player, code, staff.org_id)
    assert review(held, "annul").json["held_for"] == "impossible_travel"
    assert (status(conn, held), balance(conn, player), taken(conn, code)) == (("annulled", None), 0, 0)
    assert conn.execute("SELECT count(*) FROM inventory_ledger").fetchone() == (0,)


def test_released_by_mistake_and_annulled(conn: Conn, staff: Staff, review: Any) -> None:
    player = make_player(conn)
    held = hold(conn, player, make_code(conn, staff.org_id), staff.org_id)
    assert [review(held, action).status_code for action in ("release", "annul", "release")] == [200, 200, 409]
    assert balance(conn, player) == 0
    assert conn.execute("SELECT source, quantity FROM inventory_ledger ORDER BY id").fetchall() == [
        ("scan", 1),
        ("annulment", -1),
    ]


@pytest.mark.parametrize("action", ["release", "annul"])
def test_asking_again_changes_nothing(conn: Conn, staff: Staff, review: Any, action: str) -> None:
    held = hold(conn, make_player(conn), make_code(conn, staff.org_id), staff.org_id)
    first = review(held, action)
    everything = """
        SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM inventory_ledger),
               (SELECT sum(use_count) FROM qr_codes)
    """
    before = conn.execute(everything).fetchone()
    again = review(held, action)
    assert (again.status_code, again.json) == (200, first.json)
    assert conn.execute(everything).fetchone() == before


@pytest.mark.parametrize("action", ["release", "annul"])
def test_what_cannot_be_reviewed(conn: Conn, staff: Staff, review: Any, action: str) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id)
    won = scan(conn, player, code)
    failed = scan(conn, player, code)
    pending = scans.accept(conn, scans.NewScan(player, str(conn.execute("SELECT code FROM qr_codes").fetchone()[0])))  # type: ignore[index]
    unknown = scan_unknown(conn, player)

    assert review(failed, action).status_code == 409
    assert review(pending, action).status_code == 409
    assert review(won, action).status_code == (409 if action == "release" else 200)
    assert review(unknown, action).status_code == 404  # no organization's
    assert review(uuid4(), action).status_code == 404
    assert review("1", action).status_code == 404


def scan_unknown(conn: Conn, player: UUID) -> UUID:
    return scans.accept(conn, scans.NewScan(player, "no-such-code"))


@pytest.mark.parametrize("action", ["release", "annul", "explain"])
def test_another_organizations_scan_is_not_there(
    app: Any, client: Any, conn: Conn, staff: Staff, review: Any, action: str
) -> None:
    other = make_staff(app, conn)
    held = hold(conn, make_player(conn), make_code(conn, other.org_id), other.org_id)
    assert review(held, action, "GET" if action == "explain" else "POST").status_code == 404
    assert status(conn, held)[0] == "held"


def test_what_was_held_is_listed_newest_first(app: Any, client: Any, conn: Conn, staff: Staff, review: Any) -> None:
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
    for wrong in ("?status=none", "?status=", "?limit=0", "?cursor=x"):
        assert client.get(f"{staff.path}/scans{wrong}", headers=staff.admin.headers).status_code == 422


# What else a scan brought about ---------------------------------------------------------------------------------------


def test_a_puzzles_reward_goes_with_its_scan(app: Any, client: Any, conn: Conn, staff: Staff, review: Any) -> None:
    ada = sign_in(app, conn)
    code, puzzle = make_puzzle(conn, staff.org_id, reward_quantity=7)
    held = hold(conn, ada.id, code, staff.org_id)
    assert answer(client, ada, puzzle).status_code == 403
    review(held, "release")
    assert balance(conn, ada.id) == 0  # paid on solving, not on release
    assert answer(client, ada, puzzle).json["quantity"] == 7

    review(held, "annul")

    assert balance(conn, ada.id) == 0
    assert answer(client, ada, puzzle).status_code == 403


def test_a_player_is_where_they_would_be_without_the_scan(conn: Conn, staff: Staff, review: Any) -> None:
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
    review(south, "annul")  # not the last to move the player
    assert location_code(conn, player) == "east"
    review(held, "annul")
    assert location_code(conn, player) == "north"
    review(north, "annul")
    assert location_code(conn, player) is None


def test_where_something_else_moved_the_player_they_stay(conn: Conn, staff: Staff, review: Any) -> None:
    player = make_player(conn)
    make_code(conn, staff.org_id, code="north")
    moved = scan(conn, player, make_code(conn, staff.org_id, scan_type="transportation", destination_code="north"))
    conn.execute("UPDATE players SET location_code = 'elsewhere'")
    review(moved, "annul")
    assert location_code(conn, player) == "elsewhere"


def test_travel_is_judged_without_what_was_annulled(conn: Conn, staff: Staff, review: Any) -> None:
    player = make_player(conn)
    wrong = scan(conn, player, make_code(conn, staff.org_id), LISBON)
    review(wrong, "annul")
    assert status(conn, scan(conn, player, make_code(conn, staff.org_id), AMSTERDAM)) == ("success", None)


def test_cached_statistics_do_not_outlive_a_review(client: Any, conn: Conn, staff: Staff, review: Any) -> None:
    def counted() -> Any:
        return client.get(f"{staff.path}/stats", headers=staff.analyst.headers).json["scans"]

    held = hold(conn, make_player(conn), make_code(conn, staff.org_id), staff.org_id)
    assert (counted()["held"], counted()["success"]) == (1, 1)
    review(held, "release")
    assert (counted()["held"], counted()["success"]) == (0, 2)
    review(held, "annul")
    assert (counted()["held"], counted()["success"], counted()["total"]) == (0, 1, 2)


def test_the_player_sees_the_verdict_change(app: Any, client: Any, conn: Conn, staff: Staff, review: Any) -> None:
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
def test_a_crash_leaves_all_or_nothing(
    conn: Conn, staff: Staff, review: Any, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id)
    held = hold(conn, player, code, staff.org_id)
    ledger = conn.execute("SELECT count(*) FROM inventory_ledger").fetchone()

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(event_log, "notify_relay", crash)
        with pytest.raises(KeyboardInterrupt):
            review(held, action)
    assert (status(conn, held)[0], taken(conn, code)) == ("held", 1)
    assert conn.execute("SELECT count(*) FROM inventory_ledger").fetchone() == ledger
    assert review(held, action).status_code == 200
