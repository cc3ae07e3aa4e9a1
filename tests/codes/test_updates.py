"""Codes changed over HTTP: only what is given, judged as a whole, and safe from two changes at once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.codes import store
from shared.codes.rules import EncounterDefinition
from shared.codes.store import StoredCode
from shared.infra import db
from shared.infra.db import Conn
from tests.codes.factories import PUZZLE, change, make
from tests.support.callers import Staff
from tests.support.concurrency import wait_until_blocked


def test_only_the_fields_given_change(client: Any, staff: Staff) -> None:
    before = make(client, staff, reward={"item": "gem", "quantity": 1}, encounter=PUZZLE, tags=["east"]).json

    same = change(client, staff, before["id"]).json
    after = change(client, staff, before["id"], description="Moved", per_player_limit=None).json

    assert same | {"updated_at": ""} == before | {"updated_at": ""}
    assert after["updated_at"] > before["updated_at"]
    assert after | {"updated_at": ""} == before | {"description": "Moved", "per_player_limit": None, "updated_at": ""}


def test_null_clears(client: Any, staff: Staff) -> None:
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
    code = make(client, staff, **fields).json

    cleared = change(client, staff, code["id"], **dict.fromkeys(fields)).json

    assert {name: cleared[name] for name in fields} == dict.fromkeys(fields)


@pytest.mark.parametrize("name", ["code", "description", "requires_location", "radius_m", "active", "rotating", "tags"])
def test_null_is_refused_where_there_is_always_a_value(client: Any, staff: Staff, name: str) -> None:
    code = make(client, staff).json

    answer = change(client, staff, code["id"], **{name: None})

    assert answer.status_code == 422
    assert answer.json["errors"][0]["loc"] == f"body.{name}"


def test_a_change_is_judged_with_what_stays(client: Any, staff: Staff) -> None:
    code = make(
        client, staff, requires_location=True, latitude=1.0, longitude=2.0, expires_at="2027-01-01T00:00:00Z"
    ).json

    def faulty(**fields: Any) -> list[str]:
        answer = change(client, staff, code["id"], **fields)
        return [fault["loc"] for fault in answer.json.get("errors", [])]

    assert faulty(latitude=None) == ["body.latitude"]
    assert faulty(latitude=None, longitude=None) == ["body.requires_location"]
    assert faulty(starts_at="2027-01-01T00:00:00Z") == ["body.expires_at"]
    assert faulty(scan_type=None) == ["body.target_url"]
    assert client.get(f"{staff.codes}/{code['id']}", headers=staff.admin.headers).json == code
    assert faulty(latitude=None, longitude=None, requires_location=False) == []


def test_a_changed_puzzle_keeps_its_id(client: Any, staff: Staff) -> None:
    code = make(client, staff, scan_type="encounter", encounter=PUZZLE).json

    changed = change(client, staff, code["id"], encounter={"puzzle_type": "hacking", "difficulty_level": 10}).json

    assert changed["encounter"] == {
        "id": code["encounter"]["id"],
        "puzzle_type": "hacking",
        "difficulty_level": 10,
        "data": {},
        "solution": None,
        "max_attempts": None,
    }


class TestTwoChangesAtOnce:
    """One transaction has changed the puzzle; a request that changes the description waits for it."""

    def lost_update(self, app: Flask, conn: Conn, staff: Staff) -> bool:
        qr_id = make(app.test_client(), staff, scan_type="encounter", encounter=PUZZLE).json["id"]
        with ThreadPoolExecutor(1) as thread:
            with db.transaction() as own:
                stored = store.find(own, staff.org_id, UUID(qr_id))
                assert stored is not None
                store.save(own, StoredCode(**vars(stored) | {"encounter": EncounterDefinition("pattern", 7)}))
                request = thread.submit(change, app.test_client(), staff, qr_id, description="Moved")
                wait_until_blocked(conn)
            answer = request.result()
        assert answer.json["description"] == "Moved"
        return bool(answer.json["encounter"]["puzzle_type"] != "pattern")

    def test_neither_is_lost(self, app: Flask, conn: Conn, staff: Staff) -> None:
        assert not self.lost_update(app, conn, staff)

    def test_negative_control_without_the_lock_one_is(
        self, app: Flask, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "lock", lambda *_args: None)

        assert self.lost_update(app, conn, staff)
