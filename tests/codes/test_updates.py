"""Updates of codes over HTTP: only the fields in the body, validated as a whole, serialized by a lock."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.codes import store
from shared.codes.rules import EncounterDefinition
from shared.codes.store import StoredCode
from shared.infra import db
from shared.infra.db import Conn, exactly_one
from tests.codes.factories import PUZZLE, create, update
from tests.support.callers import Staff
from tests.support.concurrency import wait_until_blocked
from tests.support.factories import make_code


def test_update_changes_only_the_fields_in_the_body(client: Any, staff: Staff) -> None:
    before = create(client, staff, reward={"item": "gem", "quantity": 1}, encounter=PUZZLE, tags=["east"]).json

    same = update(client, staff, before["id"]).json
    after = update(client, staff, before["id"], description="Moved", per_player_limit=None).json

    assert same | {"updated_at": ""} == before | {"updated_at": ""}
    assert after["updated_at"] > before["updated_at"]
    assert after | {"updated_at": ""} == before | {"description": "Moved", "per_player_limit": None, "updated_at": ""}


def test_null_clears_optional_fields(client: Any, staff: Staff) -> None:
    fields = {
        "latitude": 1.0,
        "longitude": 2.0,
        "reward": {"item": "gem", "quantity": 1},
        "encounter": PUZZLE,
        "target_url": "https://example.com",
        "starts_at": "2026-01-01T00:00:00Z",
        "expires_at": "2027-01-01T00:00:00Z",
        "max_scans": 3,
        "cooldown_seconds": 3,
    }
    code = create(client, staff, **fields).json

    cleared = update(client, staff, code["id"], **dict.fromkeys(fields)).json

    assert {name: cleared[name] for name in fields} == dict.fromkeys(fields)


@pytest.mark.parametrize(
    "name", ["code", "description", "requires_location", "radius_m", "active", "rotating", "rotation_seconds", "tags"]
)
def test_null_for_a_required_field_returns_422(client: Any, staff: Staff, name: str) -> None:
    code = create(client, staff).json

    response = update(client, staff, code["id"], **{name: None})

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == f"body.{name}"


def test_update_is_validated_with_the_stored_fields(client: Any, staff: Staff) -> None:
    code = create(
        client, staff, requires_location=True, latitude=1.0, longitude=2.0, expires_at="2027-01-01T00:00:00Z"
    ).json

    def invalid(**fields: Any) -> list[str]:
        response = update(client, staff, code["id"], **fields)
        return [error["loc"] for error in response.json.get("errors", [])]

    assert invalid(latitude=None) == ["body.latitude"]
    assert invalid(latitude=None, longitude=None) == ["body.requires_location"]
    assert invalid(starts_at="2027-01-01T00:00:00Z") == ["body.expires_at"]
    assert invalid(scan_type=None) == ["body.target_url"]
    assert client.get(f"{staff.codes}/{code['id']}", headers=staff.admin.headers).json == code
    assert invalid(latitude=None, longitude=None, requires_location=False) == []


def test_updated_puzzle_keeps_its_id(client: Any, staff: Staff) -> None:
    code = create(client, staff, scan_type="encounter", encounter=PUZZLE).json

    changed = update(client, staff, code["id"], encounter={"puzzle_type": "hacking", "difficulty_level": 10}).json

    assert changed["encounter"] == {
        "id": code["encounter"]["id"],
        "puzzle_type": "hacking",
        "difficulty_level": 10,
        "data": {},
        "solution": None,
        "max_attempts": None,
    }


class TestConcurrentUpdates:
    """A request that updates the description waits for a transaction that has updated the puzzle."""

    def lost_update(self, app: Flask, conn: Conn, staff: Staff) -> bool:
        qr_id = create(app.test_client(), staff, scan_type="encounter", encounter=PUZZLE).json["id"]
        with ThreadPoolExecutor(1) as thread:
            with db.transaction() as own:
                stored = store.find(own, staff.org_id, UUID(qr_id))
                assert stored is not None
                store.save(own, StoredCode(**vars(stored) | {"encounter": EncounterDefinition("pattern", 7)}))
                request = thread.submit(update, app.test_client(), staff, qr_id, description="Moved")
                wait_until_blocked(conn)
            response = request.result()
        assert response.json["description"] == "Moved"
        return bool(response.json["encounter"]["puzzle_type"] != "pattern")

    def test_no_update_is_lost(self, app: Flask, conn: Conn, staff: Staff) -> None:
        assert not self.lost_update(app, conn, staff)

    def test_negative_control_without_the_lock(
        self, app: Flask, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "lock", lambda *_args: None)

        assert self.lost_update(app, conn, staff)


def test_activation_and_placement_restart_the_use_of_a_code(client: Any, conn: Conn, staff: Staff) -> None:
    """No scan from before can succeed. Other changes, such as a use or a move, keep the time."""
    code = make_code(conn, staff.org_id, active=False)

    def restarted(**fields: Any) -> bool:
        before = exactly_one(conn.execute("SELECT usable_since FROM qr_codes WHERE id = %s", (code,)))
        response = client.patch(f"{staff.codes}/{code}", json=fields, headers=staff.admin.headers)
        assert response.status_code == 200, response.json
        return before != exactly_one(conn.execute("SELECT usable_since FROM qr_codes WHERE id = %s", (code,)))

    assert restarted(active=True)
    assert not restarted(active=True)
    assert restarted(latitude=52.0, longitude=4.0)
    assert not restarted(latitude=52.1, longitude=4.1)
    assert not restarted(active=False, description="moved")
    assert restarted(active=True)
