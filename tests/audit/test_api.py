"""The audit trail over HTTP: who changed what, from where, old and new; and no secret in it."""

from io import BytesIO
from typing import Any

import pytest
from flask import Flask

from shared.imports.rules import MAX_SYNCHRONOUS_ROWS
from shared.infra.db import Conn
from tests.security.role_fixtures import logo
from tests.support.callers import Staff, make_key, sign_in
from tests.support.factories import make_code, make_held_scan, make_org
from workers.imports import run_pending

PUZZLE = {"puzzle_type": "decryption", "difficulty_level": 1, "solution": "open sesame"}


def trail(client: Any, staff: Staff, query: str = "") -> list[dict[str, Any]]:
    """Newest first."""
    answer = client.get(f"{staff.path}/audit{query}", headers=staff.admin.headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json["items"]
    return items


def test_a_change_tells_who_from_where_old_and_new(client: Any, conn: Conn, staff: Staff) -> None:
    code_id = make_code(conn, staff.org_id, description="Old")
    row = conn.execute("SELECT username FROM players WHERE id = %s", (staff.owner.id,)).fetchone()
    assert row is not None

    changed = client.patch(
        f"{staff.codes}/{code_id}",
        json={"description": "New", "max_scans": 5, "active": True},
        headers=staff.owner.headers | {"X-Request-ID": "r1"},
        environ_base={"REMOTE_ADDR": "192.0.2.7"},
    )

    assert changed.status_code == 200
    (line,) = trail(client, staff)
    assert line.pop("id")
    assert line.pop("at").endswith("Z")
    assert line == {
        "action": "code.changed",
        "actor": {"kind": "player", "id": str(staff.owner.id), "name": row[0]},
        "address": "192.0.2.7",
        "request_id": "r1",
        "object_id": str(code_id),
        "old": {"description": "Old", "max_scans": None},
        "new": {"description": "New", "max_scans": 5},
    }


def test_what_changes_nothing_leaves_no_line(client: Any, conn: Conn, staff: Staff) -> None:
    path = f"{staff.codes}/{make_code(conn, staff.org_id)}"
    for method, where, body in (
        ("PATCH", path, {"active": True}),
        ("PATCH", staff.path, {}),
        ("PATCH", f"{staff.path}/members/{staff.member.id}", {"role": "member"}),
        ("PUT", f"{path}/customization", {}),
        ("DELETE", f"{path}/customization/logo", None),
        ("DELETE", f"{path}/customization", None),
    ):
        answer = client.open(where, method=method, json=body, headers=staff.owner.headers)
        assert answer.status_code < 300, answer.text

    assert trail(client, staff) == []


def test_a_key_is_named_by_its_name(client: Any, conn: Conn, staff: Staff) -> None:
    machine = make_key(conn, staff.org_id)

    client.post(staff.codes, json={"code": "spy123", "scan_type": "item_drop"}, headers=machine.headers)

    (line,) = trail(client, staff, f"?actor={machine.id}")
    assert line["actor"] == {"kind": "key", "id": str(machine.id), "name": "Kiosk"}
    assert (line["action"], line["new"]) == ("code.created", {"code": "spy123", "scan_type": "item_drop"})


def test_of_secrets_only_that_they_changed(client: Any, conn: Conn, staff: Staff) -> None:
    body = {"code": "spy123", "scan_type": "encounter", "encounter": PUZZLE}
    path = client.post(staff.codes, json=body, headers=staff.admin.headers).headers["Location"]
    other = PUZZLE | {"solution": "open barley"}
    client.patch(path, json={"encounter": other}, headers=staff.admin.headers)
    client.delete(path, headers=staff.admin.headers)
    made = client.post(f"{staff.path}/api-keys", json={"name": "K", "scopes": ["scan"]}, headers=staff.admin.headers)
    client.delete(f"{staff.path}/api-keys/{made.json['id']}", headers=staff.admin.headers)

    lines = trail(client, staff)

    assert [line["action"] for line in lines] == [
        "key.revoked",
        "key.created",
        "code.deleted",
        "code.changed",
        "code.created",
    ]
    assert (lines[3]["old"], lines[3]["new"]) == ({"solution": "[secret]"}, {"solution": "[secret]"})
    assert lines[1]["new"]["prefix"] == made.json["prefix"]
    held = str(conn.execute("SELECT a::text FROM audit_log a").fetchall())
    assert "sesame" not in held
    assert "barley" not in held
    assert made.json["key"][16:] not in held


def test_a_puzzle_of_a_mebibyte_is_told_by_its_digest(client: Any, staff: Staff) -> None:
    data = {"text": "x" * 100_000}
    body = {"scan_type": "encounter", "encounter": PUZZLE | {"data": data}}

    client.post(staff.codes, json=body, headers=staff.admin.headers)

    (line,) = trail(client, staff)
    assert set(line["new"]["encounter"]) == {"bytes", "sha256"}


def test_a_logo_is_told_by_its_size_and_digest(client: Any, conn: Conn, staff: Staff) -> None:
    path = f"{staff.codes}/{make_code(conn, staff.org_id)}/customization/logo"

    assert client.put(path, data={"logo": (BytesIO(logo()), "a.png")}, headers=staff.admin.headers).status_code == 200
    assert client.delete(path, headers=staff.admin.headers).status_code == 204

    removed, put = trail(client, staff)
    assert (put["action"], put["old"], set(put["new"])) == ("logo.set", None, {"bytes", "sha256"})
    assert (removed["action"], removed["old"]) == ("logo.removed", {"sha256": put["new"]["sha256"]})


def test_members_and_reviews_and_renders(app: Flask, client: Any, conn: Conn, staff: Staff) -> None:
    sign_in(app, conn, "grace")
    code_id = make_code(conn, staff.org_id)
    held = make_held_scan(conn, staff.member.id, code_id)
    added = client.post(
        f"{staff.path}/members", json={"username": "grace", "role": "member"}, headers=staff.owner.headers
    )
    member = f"{staff.path}/members/{added.json['player_id']}"
    client.patch(member, json={"role": "admin"}, headers=staff.owner.headers)
    client.delete(member, headers=staff.owner.headers)
    client.post(f"{staff.path}/scans/{held}/release", headers=staff.admin.headers)
    client.post(f"{staff.path}/scans/{held}/release", headers=staff.admin.headers)  # changes nothing
    client.post(f"{staff.path}/scans/{held}/annul", headers=staff.admin.headers)
    asked = client.post(f"{staff.path}/renders", json={"qr_ids": [str(code_id)]}, headers=staff.admin.headers)
    client.delete(asked.json["status_url"], headers=staff.admin.headers)

    told = [(line["action"], line["old"], line["new"]) for line in reversed(trail(client, staff))]

    render = {"output": "zip", "format": "png", "size": 300, "error_correction": "M", "template": None, "caption": None}
    assert told == [
        ("member.added", None, {"role": "member"}),
        ("member.changed", {"role": "member"}, {"role": "admin"}),
        ("member.removed", {"role": "admin"}, None),
        ("scan.released", {"status": "held"}, {"status": "success"}),
        ("scan.annulled", {"status": "success"}, {"status": "annulled"}),
        ("render.started", None, render | {"codes": 1}),
        ("render.canceled", None, None),
    ]


def test_the_founding_is_the_first_line(app: Flask, client: Any, conn: Conn) -> None:
    ada = sign_in(app, conn, "ada")
    org_id = client.post("/api/organizations", json={"name": "Museum"}, headers=ada.headers).json["id"]
    client.patch(f"/api/organizations/{org_id}", json={"name": "Gallery"}, headers=ada.headers)

    lines = client.get(f"/api/organizations/{org_id}/audit", headers=ada.headers).json["items"]

    assert [(line["action"], line["old"], line["new"]) for line in lines] == [
        ("organization.changed", {"name": "Museum"}, {"name": "Gallery"}),
        ("organization.created", None, {"name": "Museum", "slug": "museum", "url": None, "fair_play": None}),
    ]


def test_many_codes_are_one_line(client: Any, staff: Staff) -> None:
    bulk = client.post(
        f"{staff.codes}/bulk?partial=true",
        json={"codes": [{"scan_type": "item_drop"}, {"scan_type": "item_drop"}, {}]},
        headers=staff.admin.headers,
    )

    (line,) = trail(client, staff)
    assert (line["action"], line["object_id"]) == ("codes.imported", bulk.json["id"])
    assert line["new"] == {"codes": 2, "failed": 1}


@pytest.mark.parametrize(
    ("rows", "wrong", "expected"), [(MAX_SYNCHRONOUS_ROWS + 1, 0, 1), (MAX_SYNCHRONOUS_ROWS + 1, 1, 0)]
)
def test_an_import_that_a_worker_ends_is_its_askers(
    client: Any, staff: Staff, rows: int, wrong: int, expected: int
) -> None:
    text = "scan_type\n" + "item_drop\n" * (rows - wrong) + "nonsense\n" * wrong
    headers = staff.admin.headers | {"Content-Type": "text/csv", "X-Request-ID": "r1"}

    asked = client.post(f"{staff.codes}/import", data=text, headers=headers)
    assert asked.status_code == 202
    run_pending()

    *added, started = trail(client, staff, f"?object_id={asked.json['id']}")
    assert (started["action"], started["new"]) == ("import.started", {"rows": rows, "partial": False})
    assert [(line["action"], line["new"]) for line in added] == [
        ("codes.imported", {"codes": rows, "failed": 0})
    ] * expected
    assert all((line["actor"], line["request_id"]) == (started["actor"], "r1") for line in added)


def test_a_retry_leaves_no_second_line(client: Any, staff: Staff) -> None:
    headers = staff.admin.headers | {"Idempotency-Key": "01J"}

    for _ in range(2):
        assert client.post(staff.codes, json={"scan_type": "item_drop"}, headers=headers).status_code == 201

    assert len(trail(client, staff)) == 1


@pytest.fixture
def busy(client: Any, conn: Conn, staff: Staff) -> list[str]:
    """Five lines; the ids of their codes, newest first."""
    turns = (staff.owner, staff.admin, staff.owner, staff.admin, staff.owner)
    made = [client.post(staff.codes, json={"scan_type": "item_drop"}, headers=person.headers) for person in turns]
    return [answer.json["id"] for answer in reversed(made)]


def test_page_by_page(client: Any, staff: Staff, busy: list[str]) -> None:
    seen, cursor = [], ""
    while cursor is not None:
        page = client.get(
            f"{staff.path}/audit?limit=2&cursor={cursor}".removesuffix("&cursor="), headers=staff.admin.headers
        )
        seen += [line["object_id"] for line in page.json["items"]]
        cursor = page.json["next_cursor"]

    assert seen == busy


def test_by_action_actor_and_object(client: Any, staff: Staff, busy: list[str]) -> None:
    client.delete(f"{staff.codes}/{busy[0]}", headers=staff.admin.headers)

    assert [line["object_id"] for line in trail(client, staff, "?action=code.deleted")] == [busy[0]]
    assert [line["object_id"] for line in trail(client, staff, f"?actor={staff.owner.id}")] == busy[::2]
    assert [line["action"] for line in trail(client, staff, f"?object_id={busy[0]}")] == [
        "code.deleted",
        "code.created",
    ]
    assert trail(client, staff, "?action=code.deleted&object_id=nothing") == []
    for query in ("?actor=nobody", f"?action={'a' * 101}", "?cursor=nonsense", "?limit=0"):
        assert client.get(f"{staff.path}/audit{query}", headers=staff.admin.headers).status_code == 422


def test_another_organizations_lines_are_not_ours(client: Any, conn: Conn, staff: Staff, busy: list[str]) -> None:
    other = make_org(conn)
    conn.execute("INSERT INTO memberships (org_id, player_id, role) VALUES (%s, %s, 'owner')", (other, staff.owner.id))

    assert client.get(f"/api/organizations/{other}/audit", headers=staff.owner.headers).json["items"] == []


def test_names_are_those_of_the_reading(client: Any, conn: Conn, staff: Staff, busy: list[str]) -> None:
    """As when the actor was erased, and a tombstone stands in the place of their name."""
    conn.execute("UPDATE players SET username = 'erased-1' WHERE id = %s", (staff.owner.id,))

    assert {line["actor"]["name"] for line in trail(client, staff, f"?actor={staff.owner.id}")} == {"erased-1"}
