"""Explanations of verdicts, and simulated scans."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from shared.infra.db import Conn
from shared.reviews import simulation
from shared.scans import store as scans
from shared.scans.checks import CHECKS
from tests.reviews.factories import hold, scan, status
from tests.support.callers import Staff
from tests.support.database import table_names
from tests.support.factories import (
    AMSTERDAM,
    LISBON,
    SIX_KILOMETERS_OFF,
    code_text,
    make_code,
    make_org,
    make_player,
    submit_scan,
)
from workers.scans import judge_pending

NOW = datetime.now(UTC)


@pytest.fixture
def explain(client: Any, staff: Staff) -> Any:
    def ask(scan_id: object) -> Any:
        return client.get(f"{staff.path}/scans/{scan_id}/explain", headers=staff.admin.headers)

    return ask


def by_rule(response: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    assert [step["rule"] for step in response["rules"]] == [check.reason for check in CHECKS]
    return {step["rule"]: (step["outcome"], step["inputs"]) for step in response["rules"]}


def test_failure_is_explained_by_its_stored_inputs(conn: Conn, staff: Staff, explain: Any) -> None:
    code = make_code(conn, staff.org_id, AMSTERDAM, radius_m=75)
    failed = scan(conn, make_player(conn), code, SIX_KILOMETERS_OFF, accuracy_m=20.0)
    conn.execute("UPDATE qr_codes SET radius_m = 50000, active = false, latitude = 0, longitude = 0")

    explained = explain(failed).json

    assert (explained["status"], explained["reason"], explained["recorded"]) == ("failure", "not_present", True)
    rules = by_rule(explained)
    assert rules["inactive"] == ("passed", {"active": True})
    assert rules["better_location_needed"] == ("passed", {"accuracy_m": 20.0, "allowed_m": 100.0})
    outcome, inputs = rules["not_present"]
    assert (outcome, inputs["radius_m"]) == ("failed", 75)
    assert inputs["distance_m"] == pytest.approx(6_000, abs=10)
    assert rules["player_limit"] == ("not_tried", {})


def test_explanation_of_a_hold_survives_its_release(client: Any, conn: Conn, staff: Staff, explain: Any) -> None:
    held = hold(conn, make_player(conn), make_code(conn, staff.org_id, max_scans=9), staff.org_id)
    before = explain(held).json
    outcome, inputs = by_rule(before)["impossible_travel"]
    assert (outcome, inputs["max_speed_mps"], inputs["accuracy_m"]) == ("held", 300, 0)
    assert inputs["metres"] == pytest.approx(1_863_000, rel=0.01)
    assert by_rule(before)["sold_out"] == ("passed", {"use_count": 0, "max_scans": 9})
    client.post(f"{staff.path}/scans/{held}/release", headers=staff.admin.headers)
    assert explain(held).json == before | {"status": "success"}


def test_success_passed_every_check(conn: Conn, staff: Staff, explain: Any) -> None:
    code = make_code(conn, staff.org_id, AMSTERDAM, cooldown_seconds=60, max_scans=5)
    won = scan(conn, make_player(conn), code, AMSTERDAM)
    conn.execute("UPDATE qr_codes SET latitude = 0, longitude = 0")
    explained = explain(won).json
    assert (explained["status"], explained["reason"], explained["recorded"]) == ("success", None, False)
    rules = by_rule(explained)
    assert {outcome for outcome, _ in rules.values()} == {"passed"}
    assert rules["not_present"][1] == {"distance_m": 0, "radius_m": 50}
    # Earlier uses are not stored with a success.
    assert [rules[rule][1] for rule in ("player_limit", "cooldown", "sold_out", "impossible_travel", "burst")] == [
        {"limit": 1},
        {"cooldown_seconds": 60},
        {"max_scans": 5},
        {"max_speed_mps": 300},
        {},
    ]


def test_cooldown_is_explained_by_its_seconds(conn: Conn, staff: Staff, explain: Any) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id, per_player_limit=None, cooldown_seconds=60)
    scan(conn, player, code)
    outcome, inputs = by_rule(explain(scan(conn, player, code)).json)["cooldown"]
    assert (outcome, inputs["cooldown_seconds"]) == ("failed", 60)
    assert 0 <= inputs["seconds"] < 60


def test_pending_scan_is_409_and_dead_lettered_one_was_not_tried(conn: Conn, staff: Staff, explain: Any) -> None:
    player, code = make_player(conn), make_code(conn, staff.org_id)
    pending = submit_scan(conn, player, code)
    assert explain(pending).status_code == 409
    conn.execute("UPDATE player_scans SET status = 'failure', reason = 'not_judged', settled_at = now()")
    explained = explain(pending).json
    assert (explained["reason"], explained["recorded"]) == ("not_judged", False)
    assert {step["outcome"] for step in explained["rules"]} == {"not_tried"}


def test_players_see_no_decision_inputs(client: Any, conn: Conn, staff: Staff) -> None:
    far = scan(conn, staff.stranger.id, make_code(conn, staff.org_id, AMSTERDAM), SIX_KILOMETERS_OFF)
    for path in (f"/scan/{far}", f"/player/{staff.stranger.id}/history"):
        text = client.get(path, headers=staff.stranger.headers).text
        assert "not_present" in text
        assert not [word for word in ("distance", "radius", "inputs", "6000") if word in text]
    assert conn.execute("SELECT FROM events WHERE data::text ~ 'not_present'").fetchall()
    assert not conn.execute("SELECT FROM events WHERE data::text ~ 'distance|radius|inputs'").fetchall()


# Simulated scans ----------------------------------------------------------------------------------------------------


@pytest.fixture
def simulate(client: Any, staff: Staff) -> Any:
    def ask(player_id: object, code: str, coordinates: Any = None, **fields: Any) -> Any:
        body = {"player_id": str(player_id), "qr_code": code} | fields
        if coordinates is not None:
            body |= {"latitude": coordinates.latitude, "longitude": coordinates.longitude}
        return client.post(f"{staff.path}/scans/simulate", json=body, headers=staff.admin.headers)

    return ask


def row_counts(conn: Conn) -> dict[str, int]:
    return {name: conn.execute(f"SELECT FROM {name}").rowcount for name in table_names(conn)}


BURST = {"burst": {"window_seconds": 60, "per_player": 5, "per_code": None}}


def test_simulation_writes_nothing(conn: Conn, staff: Staff, simulate: Any) -> None:
    player = make_player(conn)
    code = make_code(conn, staff.org_id, AMSTERDAM, code="spy123", max_scans=3)
    conn.execute("UPDATE organizations SET fair_play = %s", (Jsonb(BURST),))
    scan(conn, player, code, SIX_KILOMETERS_OFF)
    before = row_counts(conn), conn.execute("SELECT * FROM qr_codes, players ORDER BY 1, 2").fetchall()

    simulated = simulate(player, "spy123", AMSTERDAM, nonce="n").json

    assert (simulated["status"], simulated["reward"], simulated["quantity"], simulated["distance_m"]) == (
        "success",
        "gem",
        1,
        0,
    )
    assert {step["outcome"] for step in simulated["rules"]} == {"passed"}
    assert by_rule(simulated)["sold_out"][1] == {"use_count": 0, "max_scans": 3}
    assert simulate(player, "https://w.example/s/spy123", SIX_KILOMETERS_OFF).json["reason"] == "not_present"
    assert (row_counts(conn), conn.execute("SELECT * FROM qr_codes, players ORDER BY 1, 2").fetchall()) == before


def test_snapshot_of_a_simulation_rejects_writes(conn: Conn) -> None:
    with simulation.read_only_snapshot() as snapshot, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        snapshot.execute("INSERT INTO players (username) VALUES ('ada')")


CASES = st.fixed_dictionaries(
    {
        "requires": st.booleans(),
        "coordinates": st.sampled_from([None, AMSTERDAM, SIX_KILOMETERS_OFF, LISBON]),
        "accuracy": st.sampled_from([None, 5.0, 5_000.0, 3_000_000.0]),
        "limit": st.sampled_from([None, 1, 2]),
        "cooldown": st.sampled_from([None, 60, 7_200]),
        "stock": st.sampled_from([None, 1, 2]),
        "active": st.booleans(),
        "expired": st.booleans(),
        "hours": st.sampled_from([None, 0, 1, 50, 100]),
        "before": st.lists(st.sampled_from([(AMSTERDAM, 0), (LISBON, 2), (AMSTERDAM, 30)]), max_size=2),
    }
)


@given(CASES)
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_simulation_returns_the_verdict_of_judging(
    conn: Conn, staff: Staff, simulate: Any, case: dict[str, Any]
) -> None:
    """Both try the same checks."""
    code = make_code(
        conn,
        staff.org_id,
        per_player_limit=case["limit"],
        cooldown_seconds=case["cooldown"],
        max_scans=case["stock"],
        active=case["active"],
        latitude=AMSTERDAM.latitude,
        longitude=AMSTERDAM.longitude,
        requires_location=case["requires"],
        expires_at=NOW - timedelta(hours=20) if case["expired"] else None,
    )
    player = make_player(conn)
    for coordinates, hours in case["before"]:
        submit_scan(conn, player, code, coordinates, scanned_at=NOW - timedelta(hours=hours))
        judge_pending()
    at = None if case["hours"] is None else NOW - timedelta(hours=case["hours"])
    fields: dict[str, Any] = {"scanned_at": at.isoformat()} if at else {}
    if case["accuracy"] is not None:
        fields["accuracy"] = case["accuracy"]

    simulated = simulate(player, code_text(conn, code), case["coordinates"], **fields).json
    scan_id = submit_scan(conn, player, code, case["coordinates"], accuracy_m=case["accuracy"], scanned_at=at)
    judge_pending()

    assert (simulated["status"], simulated.get("reason")) == status(conn, scan_id)
    row = conn.execute("SELECT decision_inputs FROM player_scans WHERE id = %s", (scan_id,)).fetchone()
    assert row is not None
    if simulated["status"] == "success":
        assert row[0] is None
    else:
        tried = [step["rule"] for step in simulated["rules"] if step["outcome"] != "not_tried"]
        assert set(tried) == set(row[0])
        assert tried[-1] == simulated["reason"]


def test_simulated_code_of_another_organization_is_unknown(conn: Conn, staff: Staff, simulate: Any) -> None:
    make_code(conn, make_org(conn), code="foreign")
    assert simulate(make_player(conn), "foreign").json["reason"] == "unknown_code"
    assert simulate(make_player(conn), "unknown").json["reason"] == "unknown_code"


def test_simulation_uses_fixes_of_the_organization_only(conn: Conn, staff: Staff, simulate: Any) -> None:
    player = make_player(conn)
    make_code(conn, staff.org_id, code="own")
    scan(conn, player, make_code(conn, make_org(conn)), LISBON)
    assert simulate(player, "own", AMSTERDAM).json["status"] == "success"
    scan(conn, player, make_code(conn, staff.org_id), LISBON)
    assert simulate(player, "own", AMSTERDAM).json["reason"] == "impossible_travel"


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"qr_code": ""}, "body.qr_code"),
        ({"qr_code": "a" * 2_049}, "body.qr_code"),
        ({"latitude": 91, "longitude": 0}, "body.latitude"),
        ({"latitude": 1}, "body"),
        ({"accuracy": -1}, "body.accuracy"),
        ({"scanned_at": "yesterday"}, "body.scanned_at"),
        ({"player_id": "me"}, "body.player_id"),
        ({"status": "success"}, "body.status"),
    ],
)
def test_invalid_simulation_returns_422(simulate: Any, fields: dict[str, Any], loc: str) -> None:
    fields_ = {"player_id": uuid4(), "code": "spy123"} | fields
    code = fields_.pop("qr_code", fields_.pop("code"))
    response = simulate(fields_.pop("player_id"), code, **fields_)
    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == loc


def test_simulation_of_an_unknown_player_is_404(conn: Conn, simulate: Any) -> None:
    assert simulate(uuid4(), "spy123").status_code == 404
    assert scans.find(conn, uuid4()) is None
