"""The place of a code from location fixes: a robust median anywhere on Earth, with a sufficient radius."""

from collections.abc import Sequence
from math import cos, radians
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.codes.placement import LocationFix, locate, widen
from shared.errors import Invalid
from shared.infra.db import Conn
from shared.scans.geodesic import distance_m
from tests.conftest import Player
from tests.support.callers import Staff
from tests.support.factories import make_code
from workers.scans import judge_pending

DAM = (52.3731, 4.8926)
METER = 1 / 111_195  # degrees of latitude


def around(latitude: float, longitude: float, *offsets: tuple[float, float], accuracy: float = 5) -> list[LocationFix]:
    """Fixes at these meters east and north of a point away from the poles."""
    return [
        LocationFix(
            latitude + north * METER,
            (longitude + east * METER / cos(radians(latitude)) + 180) % 360 - 180,
            accuracy,
        )
        for east, north in offsets
    ]


@pytest.mark.parametrize(
    ("fixes", "place", "accuracy"),
    [
        (around(*DAM, (0, 0), accuracy=8.5), DAM, 8.5),
        (around(*DAM, (-9, 0), (0, 9), (0, 0), (9, 0), (0, -9), accuracy=1), DAM, 9),
        # One fix of five is wrong by 20 km, or at Null Island.
        ([*around(*DAM, (-2, 0), (0, 2), (0, 0), (2, -2)), *around(*DAM, (20_000, 0))], DAM, 5),
        ([*around(*DAM, (-2, 0), (0, 2), (0, 0), (2, -2)), LocationFix(0, 0, 5)], DAM, 5),
        # Two places, and either may be right.
        (around(*DAM, (-500, 0), (500, 0)), DAM, 500),
        (around(-16.8, 180, (-10, 0), (0, 0), (10, 0), accuracy=1), (-16.8, 180), 10),
        (around(-16.8, -179.99999, (-10, 0), (0, 0), (10, 0), accuracy=1), (-16.8, -179.99999), 10),
        ([LocationFix(90, 45, 3)], (90, 0), 3),
        ([LocationFix(89.9999, longitude, 3) for longitude in (0, 90, 180, -90)], (90, 0), 11.1),
        ([LocationFix(-89.9999, longitude, 3) for longitude in (45, 135, -135, -45)], (-90, 0), 11.1),
        ([LocationFix(0, 0, 0)] * 3, (0, 0), 0),
    ],
)
def test_place(fixes: Sequence[LocationFix], place: tuple[float, float], accuracy: float) -> None:
    found = locate(fixes)

    assert distance_m(found.latitude, found.longitude, *place) < 1.5
    assert found.accuracy == pytest.approx(accuracy, abs=1)


@pytest.mark.parametrize(
    "fixes",
    [
        [LocationFix(*DAM, 25_001)],
        [LocationFix(0, 0, 5), LocationFix(0, 180, 5)],
        [LocationFix(90, 0, 5), LocationFix(-90, 0, 5)],
        [LocationFix(52, 4, 5), LocationFix(53, 4, 5)],
    ],
)
def test_fixes_too_far_apart_are_refused(fixes: Sequence[LocationFix]) -> None:
    with pytest.raises(Invalid) as error:
        locate(fixes)
    assert "The limit is 25,000 m." in error.value.field_errors[0].message


FIX = st.builds(LocationFix, st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 1_000))


@given(FIX)
def test_a_single_fix_is_the_place(fix: LocationFix) -> None:
    found = locate([fix])
    assert distance_m(found.latitude, found.longitude, fix.latitude, fix.longitude) < 0.05
    assert -90 <= found.latitude <= 90
    assert -180 <= found.longitude <= 180


@given(st.lists(FIX, min_size=1, max_size=10))
def test_any_fixes_have_a_place_or_are_refused(fixes: list[LocationFix]) -> None:
    try:
        found = locate(fixes)
    except Invalid:
        return
    assert -90 <= found.latitude <= 90
    assert -180 <= found.longitude <= 180
    assert 2 * found.accuracy <= widen(5, found.accuracy) <= 50_000


def post(client: Any, staff: Staff, qr_id: Any, **body: Any) -> Any:
    return client.post(f"{staff.codes}/{qr_id}/place", json=body, headers=staff.admin.headers)


def fix(latitude: float, longitude: float, accuracy: float = 5) -> dict[str, float]:
    return {"latitude": latitude, "longitude": longitude, "accuracy": accuracy}


def test_a_blank_code_is_playable_once_it_is_placed(client: Any, staff: Staff, player: Player) -> None:
    """Printed ahead, installed with a phone, and given a reward."""
    blank = client.post(f"{staff.codes}/blank", json={"count": 1}, headers=staff.admin.headers).json["rows"][0]
    path = f"{staff.codes}/{blank['qr_id']}"

    def scan(latitude: float) -> tuple[str, str | None]:
        body = {"player_id": str(player.id), "qr_code": blank["code"], "latitude": latitude, "longitude": DAM[1]}
        scan_id = client.post("/scan", json=body, headers=player.headers).json["scan_id"]
        judge_pending()
        verdict = client.get(f"/scan/{scan_id}", headers=player.headers).json
        return verdict["status"], verdict.get("reason") or verdict.get("reward")

    assert scan(DAM[0]) == ("failure", "inactive")
    placed = post(client, staff, blank["qr_id"], fixes=[fix(*DAM), fix(*DAM)])
    assert placed.status_code == 200, placed.text
    changes = {"reward": {"item": "gem", "quantity": 1}}
    assert client.patch(path, json=changes, headers=staff.admin.headers).json["warnings"] == []
    assert scan(DAM[0] + 60 * METER) == ("failure", "not_present")
    assert scan(DAM[0] + 40 * METER) == ("success", "gem")


@pytest.mark.parametrize(
    ("stored", "body", "radius"),
    [
        ({}, {}, 50),
        ({}, {"radius_m": 10}, 10),
        ({"radius_m": 80}, {}, 80),
        ({"radius_m": 80}, {"radius_m": 5}, 10),
        ({}, {"fixes": [fix(*DAM, 30.2)]}, 61),
        ({}, {"fixes": [fix(*DAM, 25_000)]}, 50_000),
    ],
)
def test_the_radius_is_at_least_twice_the_accuracy(
    client: Any, conn: Conn, staff: Staff, stored: Any, body: Any, radius: float
) -> None:
    qr_id = make_code(conn, staff.org_id, **stored)
    response = post(client, staff, qr_id, **{"fixes": [fix(*DAM)]} | body).json
    assert (response["radius_m"], response["latitude"], response["longitude"]) == (radius, *DAM)
    assert response["radius_m"] >= 2 * response["accuracy_m"]


def test_a_placement_can_leave_the_code_inactive_and_without_presence(client: Any, conn: Conn, staff: Staff) -> None:
    qr_id = make_code(conn, staff.org_id, active=False)
    declined = post(client, staff, qr_id, fixes=[fix(*DAM)], activate=False, requires_location=False).json
    accepted = post(client, staff, qr_id, fixes=[fix(*DAM)]).json

    assert (declined["active"], declined["requires_location"]) == (False, False)
    assert (accepted["active"], accepted["requires_location"]) == (True, True)
    assert post(client, staff, qr_id, fixes=[fix(*DAM)], activate=False).json["active"] is True
    entries = conn.execute("SELECT action, object_id, new ? 'latitude' FROM audit_log ORDER BY id").fetchall()
    assert entries == [("code.placed", str(qr_id), True), ("code.placed", str(qr_id), False)]


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, "body.fixes"),
        ({"fixes": []}, "body.fixes"),
        ({"fixes": [fix(*DAM)] * 101}, "body.fixes"),
        ({"fixes": [fix(91, 0)]}, "body.fixes.0.latitude"),
        ({"fixes": [{"latitude": 1, "longitude": 1}]}, "body.fixes.0.accuracy"),
        ({"fixes": [fix(*DAM, -1)]}, "body.fixes.0.accuracy"),
        ({"fixes": [fix(*DAM)], "radius_m": 4}, "body.radius_m"),
        ({"fixes": [fix(*DAM, 30_000)]}, "body.fixes"),
    ],
)
def test_malformed_placements_are_rejected(client: Any, conn: Conn, staff: Staff, body: Any, loc: str) -> None:
    qr_id = make_code(conn, staff.org_id)
    response = post(client, staff, qr_id, **body)
    assert (response.status_code, response.json["errors"][0]["loc"]) == (422, loc)
