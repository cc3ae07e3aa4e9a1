"""Codes over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from shared.codes import store
from shared.infra import db
from shared.infra.db import Conn
from tests.codes.factories import PUZZLE, change, make
from tests.support.callers import Staff
from tests.support.concurrency import wait_until_blocked
from tests.support.factories import make_code, make_org

DEFAULTS: dict[str, Any] = {
    "description": "",
    "requires_location": False,
    "latitude": None,
    "longitude": None,
    "radius_m": 50.0,
    "reward": None,
    "encounter": None,
    "destination_code": None,
    "target_url": None,
    "active": True,
    "starts_at": None,
    "expires_at": None,
    "max_scans": None,
    "per_player_limit": 1,
    "cooldown_seconds": None,
    "rotating": False,
    "tags": [],
}


def test_a_code_needs_no_more_than_its_scan_type(client: Any, staff: Staff) -> None:
    answer = make(client, staff)

    assert answer.status_code == 201
    code = dict(answer.json)
    assert len(code.pop("code")) == 12
    qr_id, created_at = code.pop("id"), code.pop("created_at")
    assert code.pop("updated_at") == created_at
    assert code.pop("image_url") == f"{staff.codes}/{qr_id}/image"
    assert code == DEFAULTS | {"scan_type": "item_drop"}
    assert answer.headers["Location"] == f"{staff.codes}/{qr_id}"
    assert client.get(answer.headers["Location"], headers=staff.admin.headers).json == answer.json


def test_every_field_is_kept(client: Any, staff: Staff) -> None:
    make(client, staff, code="gate")
    fields = {
        "code": "spy_1-23",
        "description": "At the\nstation",
        "scan_type": "encounter",
        "requires_location": True,
        "latitude": 52.3731,
        "longitude": 4.8926,
        "radius_m": 5,
        "reward": {"item": "spy_gadget", "quantity": 2},
        "encounter": PUZZLE,
        "destination_code": "gate",
        "target_url": "https://example.com/a?b=c",
        "active": False,
        "starts_at": "2026-02-12T10:00:00+02:00",
        "expires_at": "2026-02-12T10:00:00.5Z",
        "max_scans": 1e12,
        "per_player_limit": None,
        "cooldown_seconds": 60,
        "rotating": True,
        "tags": ["east", "hidden", "east"],
    }

    code = make(client, staff, **fields).json

    assert code["encounter"].pop("id")
    assert {name: code[name] for name in fields} == fields | {
        "starts_at": "2026-02-12T08:00:00Z",
        "expires_at": "2026-02-12T10:00:00.500000Z",
        "tags": ["east", "hidden"],
    }


def test_a_taken_code_is_a_conflict_and_a_removed_one_is_free(client: Any, staff: Staff) -> None:
    first = make(client, staff, code="spy123").json

    assert make(client, staff, code="spy123").status_code == 409
    other = make(client, staff).json
    assert change(client, staff, other["id"], code="spy123").status_code == 409
    assert client.delete(f"{staff.codes}/{first['id']}", headers=staff.admin.headers).status_code == 204
    for method in ("get", "patch", "delete"):
        answer = client.open(f"{staff.codes}/{first['id']}", method=method, json={}, headers=staff.admin.headers)
        assert answer.status_code == 404
    assert change(client, staff, other["id"], code="spy123").status_code == 200


def test_a_minted_code_that_is_taken_is_minted_anew(client: Any, staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    minted = iter(["taken1", "taken1", "free12"])
    make(client, staff, code="taken1")
    monkeypatch.setattr(store, "generate_code_text", lambda: next(minted))

    assert make(client, staff).json["code"] == "free12"


def test_a_destination_is_a_code_of_the_same_organization(client: Any, conn: Conn, staff: Staff) -> None:
    make_code(conn, make_org(conn), code="theirs")
    gate = make(client, staff, code="gate").json
    lift = make(client, staff, scan_type="transportation", destination_code="gate").json

    for unknown in ("theirs", "nowhere"):
        for answer in (
            make(client, staff, scan_type="transportation", destination_code=unknown),
            change(client, staff, lift["id"], destination_code=unknown),
        ):
            assert answer.status_code == 422
            assert answer.json["errors"][0]["loc"] == "body.destination_code"

    client.delete(f"{staff.codes}/{gate['id']}", headers=staff.admin.headers)
    assert change(client, staff, lift["id"], description="Out of order").status_code == 200


@pytest.mark.parametrize(("role", "told"), [("owner", True), ("admin", True), ("analyst", False), ("member", False)])
def test_a_solution_is_told_to_those_who_make_codes(client: Any, staff: Staff, role: str, told: bool) -> None:
    code = make(client, staff, scan_type="encounter", encounter=PUZZLE).json

    one = client.get(f"{staff.codes}/{code['id']}", headers=staff[role].headers)
    many = client.get(staff.codes, headers=staff[role].headers)

    for answer in (one, many):
        assert ("solution" in answer.text) is told
        assert ("open sesame" in answer.text) is told


@pytest.mark.parametrize("name", ["id", "org_id", "use_count", "created_at", "updated_at", "deleted_at", "success"])
def test_what_is_not_the_clients_to_set_is_refused_by_name(client: Any, staff: Staff, name: str) -> None:
    code = make(client, staff).json

    for answer in (make(client, staff, **{name: code["id"]}), change(client, staff, code["id"], **{name: code["id"]})):
        assert answer.status_code == 422
        assert answer.json["errors"][0]["loc"] == f"body.{name}"


def test_a_list_is_read_page_by_page_newest_first(client: Any, conn: Conn, staff: Staff) -> None:
    made = {str(make_code(conn, staff.org_id)) for _ in range(7)}
    make_code(conn)

    seen: list[str] = []
    path = f"{staff.codes}?limit=3"
    while path:
        page = client.get(path, headers=staff.member.headers).json
        seen += [code["id"] for code in page["items"]]
        path = f"{staff.codes}?limit=3&cursor={page['next_cursor']}" if page["next_cursor"] else ""

    assert set(seen) == made
    assert seen == sorted(seen, reverse=True)


def test_a_list_is_filtered(client: Any, staff: Staff) -> None:
    make(client, staff, code="spy123", tags=["east", "a b&c"])
    make(client, staff, code="spy124", scan_type="encounter", active=False)

    def listed(**query: str) -> set[str]:
        answer = client.get(staff.codes, query_string=query, headers=staff.member.headers)
        return {code["code"] for code in answer.json["items"]}

    assert listed() == {"spy123", "spy124"}
    assert listed(q="SPY12") == {"spy123", "spy124"}
    assert listed(q="3") == listed(tag="a b&c") == listed(scan_type="item_drop") == listed(active="true") == {"spy123"}
    assert listed(active="false", scan_type="encounter", q="spy") == {"spy124"}
    assert listed(tag="nowhere") == set()


@pytest.mark.parametrize(("commits", "status"), [(True, 409), (False, 201)])
def test_who_asks_for_a_code_that_is_being_made_waits(
    app: Flask, conn: Conn, staff: Staff, commits: bool, status: int
) -> None:
    with ThreadPoolExecutor(1) as thread, db.connection() as own:
        with own.transaction(force_rollback=not commits):
            make_code(own, staff.org_id, code="spy123")
            request = thread.submit(make, app.test_client(), staff, code="spy123")
            wait_until_blocked(conn)
        assert request.result().status_code == status
