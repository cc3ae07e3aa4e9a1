"""Positions and repeated requests of bug reports about other projects, each with the right outcome."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from shared.infra.db import Conn
from tests.codes.factories import create
from tests.encounters.factories import RIGHT, balance, make_puzzle, open_puzzle
from tests.support.callers import SignedInPlayer, Staff, sign_in
from tests.support.concurrency import run_concurrently
from tests.support.factories import code_text, make_code
from workers.scans import judge_pending

TIMES = 20
Submit = Callable[..., Any]


@pytest.fixture
def submit(app: Flask) -> Submit:
    """Submit a scan and return its verdict: status and reason."""

    def scan(player: SignedInPlayer, code: str, latitude: float, longitude: float) -> Any:
        client: Any = app.test_client()
        body = {"player_id": str(player.id), "qr_code": code, "latitude": latitude, "longitude": longitude}
        accepted = client.post("/scan", json=body, headers=player.headers)
        assert accepted.status_code == 202
        judge_pending()
        verdict = client.get(accepted.json["result_url"], headers=player.headers).json
        verdict |= dict.fromkeys(("scan_id", "scanned_at", "received_at", "settled_at"))
        return verdict

    return scan


def place(client: Any, staff: Staff, latitude: float, longitude: float) -> str:
    """Create a code there over HTTP. Return its text."""
    fields = {"reward": {"item": "gem", "quantity": 1}, "requires_location": True, "radius_m": 50}
    created = create(client, staff, latitude=latitude, longitude=longitude, **fields)
    assert (created.json["latitude"], created.json["longitude"]) == (latitude, longitude)
    return str(created.json["code"])


@pytest.mark.parametrize(
    ("code", "scan", "reason"),
    [
        ((-16.8, 179.9999), (-16.8, -179.9999), None),
        ((0, 180), (0, -180), None),
        ((90, 0), (90, 120), None),
        ((-90, 45), (-89.9997, -135), None),
        ((40.71199035644531, -74.0081), (40.71199035644531, -74.0081), None),
        ((60.512651558965445, 6.67020027525723), (60.512651558965445, 6.670200191438198), None),
        ((-16.8, 179.9999), (-16.8, 179.9), "not_present"),
    ],
)
def test_date_line_poles_and_the_very_same_spot(
    client: Any, staff: Staff, submit: Submit, code: Any, scan: Any, reason: str | None
) -> None:
    """Distances are those of WGS 84: 21.3 m, 0 m, 0 m, 33.5 m, 0 m, less than a centimeter, and 10.6 km."""
    verdict = submit(staff.member, place(client, staff, *code), *scan)

    assert (verdict["status"], verdict.get("reason")) == ("failure" if reason else "success", reason)


def test_travel_across_the_date_line_takes_a_second(client: Any, staff: Staff, submit: Submit) -> None:
    codes = [(place(client, staff, -16.8, longitude), longitude) for longitude in (179.9999, -179.9999)]

    assert [submit(staff.member, code, -16.8, longitude)["status"] for code, longitude in codes] == ["success"] * 2


def test_null_island_and_swapped_coordinates_are_no_journey(client: Any, staff: Staff, submit: Submit) -> None:
    """A phone without a position sends 0, 0. Some clients swap latitude and longitude."""
    code = place(client, staff, 52.3731, 4.8926)

    refused = [submit(staff.member, code, *fix) for fix in ((0, 0), (4.8926, 52.3731), (52.5, 4.8926))]

    assert {verdict["reason"] for verdict in refused} == {"not_present"}
    # The responses do not say why.
    assert all(verdict == refused[0] for verdict in refused)
    assert submit(staff.member, code, 52.3731, 4.8926)["status"] == "success"


@pytest.mark.parametrize(("latitude", "longitude"), [(-123.055913, 49.281441), (90.0000001, 0), (-91, 0)])
def test_latitude_beyond_a_pole_is_never_wrapped(client: Any, staff: Staff, latitude: float, longitude: float) -> None:
    body = {"player_id": str(staff.member.id), "qr_code": "dam", "latitude": latitude, "longitude": longitude}
    scan = client.post("/scan", json=body, headers=staff.member.headers)
    code = create(client, staff, latitude=latitude, longitude=longitude)

    for response in (scan, code):
        assert response.status_code == 422
        assert [error["loc"] for error in response.json["errors"]] == ["body.latitude"]


def press(app: Flask, player: SignedInPlayer, path: str, bodies: list[dict[str, Any]], **headers: str) -> list[Any]:
    """Send these bodies at once."""
    named = player.headers | {name.replace("_", "-"): value for name, value in headers.items()}
    return run_concurrently(
        [lambda body=body: app.test_client().post(path, json=body, headers=named) for body in bodies]  # type: ignore[misc]
    )


def test_one_press_with_one_nonce_is_one_scan(app: Flask, client: Any, conn: Conn, staff: Staff) -> None:
    player, code = staff.member, code_text(conn, make_code(conn, staff.org_id))
    body = {"player_id": str(player.id), "qr_code": code, "nonce": "same"}

    answers = press(app, player, "/scan", [body] * TIMES)

    judge_pending()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json["scan_id"] for answer in answers}) == 1
    assert len(client.get(f"/player/{player.id}/history", headers=player.headers).json["scans"]) == 1
    assert balance(conn, player.id) == 1


def test_presses_with_different_nonces_are_paid_once(app: Flask, client: Any, conn: Conn, staff: Staff) -> None:
    player, code = staff.member, code_text(conn, make_code(conn, staff.org_id))
    body = {"player_id": str(player.id), "qr_code": code}

    press(app, player, "/scan", [body | {"nonce": str(number)} for number in range(TIMES)])

    run_concurrently([judge_pending] * 2)
    scans = client.get(f"/player/{player.id}/history", headers=player.headers).json["scans"]
    assert Counter(scan["reason"] for scan in scans) == {None: 1, "player_limit": TIMES - 1}
    assert balance(conn, player.id) == 1


def test_one_answer_sent_many_times_is_paid_once(app: Flask, conn: Conn) -> None:
    player = sign_in(app, conn)
    code_id, encounter_id = make_puzzle(conn)
    open_puzzle(conn, player, code_id)

    answers = press(app, player, f"/encounters/{encounter_id}/solve", [{"answer": RIGHT}] * TIMES)

    assert {answer.status_code for answer in answers} == {200}
    assert {(answer.json["solved"], answer.json["reward"], answer.json["quantity"]) for answer in answers} == {
        (True, "gem", 1)
    }
    assert balance(conn, player.id) == 1


def test_one_organization_is_created_once(app: Flask, client: Any, conn: Conn) -> None:
    player = sign_in(app, conn)

    answers = press(app, player, "/api/organizations", [{"name": "Museum"}] * TIMES, Idempotency_Key="one")

    assert {answer.status_code for answer in answers} <= {201, 409}
    again = client.post(
        "/api/organizations", json={"name": "Museum"}, headers=player.headers | {"Idempotency-Key": "one"}
    )
    created = {answer.json["id"] for answer in (*answers, again) if answer.status_code == 201}
    assert len(created) == 1
    assert len(client.get("/api/organizations", headers=player.headers).json["items"]) == 1
