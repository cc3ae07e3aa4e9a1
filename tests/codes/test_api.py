"""Codes over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from shared.codes import store
from shared.infra import db
from shared.infra.db import Conn
from tests.codes.factories import PUZZLE, create, update
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
    "offline_hours": None,
    "answer_within_hours": 24.0,
    "rotating": False,
    "rotation_seconds": 30,
    "tags": [],
}


def test_code_needs_only_a_scan_type(client: Any, staff: Staff) -> None:
    response = create(client, staff)

    assert response.status_code == 201
    code = dict(response.json)
    assert len(code.pop("code")) == 12
    qr_id, created_at = code.pop("id"), code.pop("created_at")
    assert code.pop("updated_at") == created_at
    assert code.pop("image_url") == f"{staff.codes}/{qr_id}/image"
    assert code == DEFAULTS | {
        "scan_type": "item_drop",
        "warnings": ["Scans of this item_drop give nothing. Set a reward."],
    }
    assert response.headers["Location"] == f"{staff.codes}/{qr_id}"
    assert client.get(response.headers["Location"], headers=staff.admin.headers).json == response.json


def test_create_returns_every_field(client: Any, staff: Staff) -> None:
    create(client, staff, code="gate")
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
        "offline_hours": 0.5,
        "answer_within_hours": 1.5,
        "rotating": True,
        "rotation_seconds": 60,
        "tags": ["east", "hidden", "east"],
    }

    code = create(client, staff, **fields).json

    assert code["encounter"].pop("id")
    assert {name: code[name] for name in fields} == fields | {
        "starts_at": "2026-02-12T08:00:00Z",
        "expires_at": "2026-02-12T10:00:00.500000Z",
        "tags": ["east", "hidden"],
    }


def test_warnings_are_in_every_response_until_a_reward_is_set(client: Any, staff: Staff) -> None:
    code = create(client, staff).json
    listed = client.get(staff.codes, headers=staff.admin.headers).json["items"]
    changed = update(client, staff, code["id"], reward={"item": "gem", "quantity": 1}).json

    assert len(code["warnings"]) == 1
    assert listed == [code]
    assert changed["warnings"] == []


def test_taken_code_text_is_409_until_its_code_is_deleted(client: Any, staff: Staff) -> None:
    first = create(client, staff, code="spy123").json

    assert create(client, staff, code="spy123").status_code == 409
    other = create(client, staff).json
    assert update(client, staff, other["id"], code="spy123").status_code == 409
    assert client.delete(f"{staff.codes}/{first['id']}", headers=staff.admin.headers).status_code == 204
    for method in ("get", "patch", "delete"):
        response = client.open(f"{staff.codes}/{first['id']}", method=method, json={}, headers=staff.admin.headers)
        assert response.status_code == 404
    assert update(client, staff, other["id"], code="spy123").status_code == 200


def test_generated_code_text_that_is_taken_is_generated_again(
    client: Any, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    generated = iter(["taken1", "taken1", "free12"])
    create(client, staff, code="taken1")
    monkeypatch.setattr(store, "generate_code_text", lambda: next(generated))

    assert create(client, staff).json["code"] == "free12"


def test_destination_must_be_a_code_of_the_same_organization(client: Any, conn: Conn, staff: Staff) -> None:
    make_code(conn, make_org(conn), code="foreign")
    gate = create(client, staff, code="gate").json
    lift = create(client, staff, scan_type="transportation", destination_code="gate").json

    for unknown in ("foreign", "unknown"):
        for response in (
            create(client, staff, scan_type="transportation", destination_code=unknown),
            update(client, staff, lift["id"], destination_code=unknown),
        ):
            assert response.status_code == 422
            assert response.json["errors"][0]["loc"] == "body.destination_code"

    refused = client.delete(f"{staff.codes}/{gate['id']}", headers=staff.admin.headers)
    assert (refused.status_code, lift["code"] in refused.json["detail"]) == (409, True)
    assert update(client, staff, gate["id"], code="portal").status_code == 200
    assert update(client, staff, lift["id"], description="Out of order").json["destination_code"] == "portal"


@pytest.mark.parametrize(
    ("role", "is_returned"), [("owner", True), ("admin", True), ("analyst", False), ("member", False)]
)
def test_solution_is_returned_to_admins_and_owners_only(
    client: Any, staff: Staff, role: str, is_returned: bool
) -> None:
    code = create(client, staff, scan_type="encounter", encounter=PUZZLE).json

    single = client.get(f"{staff.codes}/{code['id']}", headers=staff[role].headers)
    listed = client.get(staff.codes, headers=staff[role].headers)

    for response in (single, listed):
        assert response.status_code == 200
        assert ("solution" in response.text) is is_returned
        assert ("open sesame" in response.text) is is_returned


@pytest.mark.parametrize("name", ["id", "org_id", "use_count", "created_at", "updated_at", "deleted_at", "success"])
def test_read_only_field_returns_422(client: Any, staff: Staff, name: str) -> None:
    code = create(client, staff).json

    for response in (
        create(client, staff, **{name: code["id"]}),
        update(client, staff, code["id"], **{name: code["id"]}),
    ):
        assert response.status_code == 422
        assert response.json["errors"][0]["loc"] == f"body.{name}"


def test_list_pages_are_newest_first_and_complete(client: Any, conn: Conn, staff: Staff) -> None:
    created = {str(make_code(conn, staff.org_id)) for _ in range(7)}
    make_code(conn)

    listed: list[str] = []
    path = f"{staff.codes}?limit=3"
    while path:
        page = client.get(path, headers=staff.member.headers).json
        listed += [code["id"] for code in page["items"]]
        path = f"{staff.codes}?limit=3&cursor={page['next_cursor']}" if page["next_cursor"] else ""

    assert set(listed) == created
    assert listed == sorted(listed, reverse=True)


def test_list_filters_combine(client: Any, staff: Staff) -> None:
    create(client, staff, code="spy123", tags=["east", "a b&c"])
    create(client, staff, code="spy124", scan_type="encounter", active=False)

    def listed(**query: str) -> set[str]:
        response = client.get(staff.codes, query_string=query, headers=staff.member.headers)
        return {code["code"] for code in response.json["items"]}

    assert listed() == {"spy123", "spy124"}
    assert listed(q="SPY12") == {"spy123", "spy124"}
    assert listed(q="3") == listed(tag="a b&c") == listed(scan_type="item_drop") == listed(active="true") == {"spy123"}
    assert listed(active="false", scan_type="encounter", q="spy") == {"spy124"}
    assert listed(tag="unknown") == set()


@pytest.mark.parametrize(("commits", "status"), [(True, 409), (False, 201)])
def test_create_waits_for_an_uncommitted_code_with_the_same_text(
    app: Flask, conn: Conn, staff: Staff, commits: bool, status: int
) -> None:
    with ThreadPoolExecutor(1) as thread, db.connection() as own:
        with own.transaction(force_rollback=not commits):
            make_code(own, staff.org_id, code="spy123")
            request = thread.submit(create, app.test_client(), staff, code="spy123")
            wait_until_blocked(conn)
        assert request.result().status_code == status
