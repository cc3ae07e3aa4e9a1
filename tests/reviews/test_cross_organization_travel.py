"""Travel between codes of two organizations holds a scan, but neither learns where the player was for the other."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.infra.db import Conn
from tests.reviews.factories import scan, status
from tests.support.callers import Staff, make_staff
from tests.support.factories import AMSTERDAM, LISBON, make_code, make_player, submit_scan
from workers.scans import judge_pending

NOW = datetime.now(UTC)
HELD = ("held", "impossible_travel")


def code(conn: Conn, org_id: UUID, **fields: Any) -> UUID:
    return make_code(conn, org_id, per_player_limit=None, **fields)


@pytest.fixture
def other(app: Flask, conn: Conn) -> Staff:
    return make_staff(app, conn)


@pytest.fixture
def travel(client: Any, staff: Staff) -> Any:
    """Return outcome and inputs of the travel check, and all text that the organization reads about the scan."""

    def ask(scan_id: UUID) -> tuple[str, dict[str, Any], str]:
        explained = client.get(f"{staff.path}/scans/{scan_id}/explain", headers=staff.admin.headers)
        listed = client.get(f"{staff.path}/scans", headers=staff.admin.headers)
        (step,) = (step for step in explained.json["rules"] if step["rule"] == "impossible_travel")
        return step["outcome"], step["inputs"], explained.text + listed.text

    return ask


@pytest.mark.parametrize("one_batch", [True, False], ids=["one batch", "one by one"])
def test_hold_reveals_only_a_fix_at_another_organization(
    conn: Conn, staff: Staff, other: Staff, travel: Any, one_batch: bool
) -> None:
    player = make_player(conn)
    submit_scan(
        conn, player, code(conn, other.org_id, code="foreign"), AMSTERDAM, scanned_at=NOW - timedelta(seconds=77)
    )
    if not one_batch:
        judge_pending()
    held = scan(conn, player, code(conn, staff.org_id), LISBON, scanned_at=NOW)
    assert status(conn, held) == HELD

    outcome, inputs, text = travel(held)

    assert (outcome, inputs) == ("held", {"max_speed_mps": 300, "at_other_organization": True})
    assert not [word for word in ("foreign", str(other.org_id), str(AMSTERDAM.latitude), "metres") if word in text]
    stored = conn.execute(
        "SELECT decision_inputs -> 'impossible_travel' FROM player_scans WHERE id = %s", (held,)
    ).fetchone()
    assert stored == (inputs,)


def test_hold_shows_the_leg_between_codes_of_the_organization(
    conn: Conn, staff: Staff, other: Staff, travel: Any
) -> None:
    """A leg from another organization's code that is even less plausible is left out."""
    player = make_player(conn)
    scan(conn, player, code(conn, staff.org_id), AMSTERDAM, scanned_at=NOW - timedelta(hours=1))
    foreign = scan(conn, player, code(conn, other.org_id), AMSTERDAM, scanned_at=NOW - timedelta(minutes=10))
    assert status(conn, foreign) == ("success", None)
    own = scan(conn, player, code(conn, staff.org_id), LISBON, scanned_at=NOW - timedelta(minutes=30))
    assert status(conn, own) == HELD
    outcome, inputs, _ = travel(own)
    assert (outcome, inputs["seconds"]) == ("held", 1_800)
    assert inputs["metres"] == pytest.approx(1_863_000, rel=0.01)


def test_passed_travel_check_hides_the_other_organization(
    client: Any, conn: Conn, staff: Staff, other: Staff, travel: Any
) -> None:
    fair_play = {"burst": {"window_seconds": 60, "per_code": 1}}
    client.patch(staff.path, json={"fair_play": fair_play}, headers=staff.owner.headers)
    player, own_code = make_player(conn), code(conn, staff.org_id)
    scan(conn, make_player(conn), own_code, LISBON)
    scan(conn, player, code(conn, other.org_id), AMSTERDAM, scanned_at=NOW - timedelta(hours=5))
    held = scan(conn, player, own_code, LISBON)
    assert status(conn, held) == ("held", "burst")
    assert travel(held)[:2] == ("passed", {"max_speed_mps": 300})


def test_simulation_ignores_fixes_at_another_organization(client: Any, conn: Conn, staff: Staff, other: Staff) -> None:
    player = make_player(conn)
    scan(conn, player, code(conn, other.org_id), AMSTERDAM)
    code(conn, staff.org_id, code="own")
    body = {"player_id": str(player), "qr_code": "own", "latitude": LISBON.latitude, "longitude": LISBON.longitude}
    verdict = client.post(f"{staff.path}/scans/simulate", json=body, headers=staff.admin.headers).json
    (step,) = (step for step in verdict["rules"] if step["rule"] == "impossible_travel")
    assert (verdict["status"], step["inputs"]) == ("success", {"max_speed_mps": 300})
