"""The audit log over HTTP: actor, address, old and new values of each change, and no secrets."""

from io import BytesIO
from typing import Any

import pytest
from flask import Flask

from shared.imports.rules import MAX_SYNCHRONOUS_ROWS
from shared.infra.db import Conn
from shared.settings import settings
from tests.security.role_fixtures import logo
from tests.support.callers import Staff, make_key, make_staff, sign_in
from tests.support.factories import make_code, make_held_scan, make_org
from web.app import create_app
from workers.imports import run_pending

PUZZLE = {"puzzle_type": "decryption", "difficulty_level": 1, "solution": "open sesame"}


def list_entries(client: Any, staff: Staff, query: str = "") -> list[dict[str, Any]]:
    """Return the entries of the organization, newest first."""
    response = client.get(f"{staff.path}/audit{query}", headers=staff.admin.headers)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json["items"]
    return items


def test_a_change_is_recorded_with_actor_address_and_values(client: Any, conn: Conn, staff: Staff) -> None:
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
    (entry,) = list_entries(client, staff)
    assert entry.pop("id")
    assert entry.pop("at").endswith("Z")
    assert entry == {
        "action": "code.changed",
        "actor": {"kind": "player", "id": str(staff.owner.id), "name": row[0]},
        "address": "192.0.2.7",
        "request_id": "r1",
        "object_id": str(code_id),
        "old": {"description": "Old", "max_scans": None},
        "new": {"description": "New", "max_scans": 5},
    }


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("198.51.100.1, 192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:51234", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:DB8:0::7]:443", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("fe80::7%eth0", "fe80::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("garbage", None),
        ("unknown", None),
        ("_hidden", None),
        ("192.0.2.700", None),
        ("[2001:db8::7", "2001:db8::7"),
        ("192.0.2.7\t<script>", None),
    ],
)
def test_entry_has_an_address_or_null(
    conn: Conn, clean: None, monkeypatch: pytest.MonkeyPatch, forwarded: str, address: str | None
) -> None:
    """A trusted proxy adds what it takes for the address of its client."""
    app = behind_one_proxy(monkeypatch)
    staff = make_staff(app, conn)
    code_id = make_code(conn, staff.org_id)
    changed = app.test_client().patch(
        f"{staff.codes}/{code_id}",
        json={"description": "New"},
        headers=staff.owner.headers | {"X-Forwarded-For": forwarded},
    )
    assert changed.status_code == 200
    assert conn.execute("SELECT address FROM audit_log WHERE action = 'code.changed'").fetchall() == [(address,)]


def behind_one_proxy(monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as changed:
        changed.setenv("TRUSTED_PROXIES", "1")
        settings.cache_clear()
        app = create_app()
    settings.cache_clear()
    return app


def test_a_request_that_changes_nothing_adds_no_entry(client: Any, conn: Conn, staff: Staff) -> None:
    path = f"{staff.codes}/{make_code(conn, staff.org_id)}"
    for method, url, body in (
        ("PATCH", path, {"active": True}),
        ("PATCH", staff.path, {}),
        ("PATCH", f"{staff.path}/members/{staff.member.id}", {"role": "member"}),
        ("PUT", f"{path}/customization", {}),
        ("DELETE", f"{path}/customization/logo", None),
        ("DELETE", f"{path}/customization", None),
    ):
        response = client.open(url, method=method, json=body, headers=staff.owner.headers)
        assert response.status_code < 300, response.text

    assert list_entries(client, staff) == []


def test_an_api_key_is_shown_by_its_name(client: Any, conn: Conn, staff: Staff) -> None:
    machine = make_key(conn, staff.org_id)

    client.post(staff.codes, json={"code": "spy123", "scan_type": "item_drop"}, headers=machine.headers)

    (entry,) = list_entries(client, staff, f"?actor={machine.id}")
    assert entry["actor"] == {"kind": "key", "id": str(machine.id), "name": "Kiosk"}
    assert (entry["action"], entry["new"]) == ("code.created", {"code": "spy123", "scan_type": "item_drop"})


def test_secrets_are_redacted(client: Any, conn: Conn, staff: Staff) -> None:
    body = {"code": "spy123", "scan_type": "encounter", "encounter": PUZZLE}
    path = client.post(staff.codes, json=body, headers=staff.admin.headers).headers["Location"]
    other = PUZZLE | {"solution": "open barley"}
    client.patch(path, json={"encounter": other}, headers=staff.admin.headers)
    client.delete(path, headers=staff.admin.headers)
    created = client.post(f"{staff.path}/api-keys", json={"name": "K", "scopes": ["scan"]}, headers=staff.admin.headers)
    client.delete(f"{staff.path}/api-keys/{created.json['id']}", headers=staff.admin.headers)

    entries = list_entries(client, staff)

    assert [entry["action"] for entry in entries] == [
        "key.revoked",
        "key.created",
        "code.deleted",
        "code.changed",
        "code.created",
    ]
    assert (entries[3]["old"], entries[3]["new"]) == ({"solution": "[secret]"}, {"solution": "[secret]"})
    assert entries[1]["new"]["prefix"] == created.json["prefix"]
    stored = str(conn.execute("SELECT a::text FROM audit_log a").fetchall())
    assert "sesame" not in stored
    assert "barley" not in stored
    assert created.json["key"][16:] not in stored


def test_a_long_value_is_recorded_by_size_and_digest(client: Any, staff: Staff) -> None:
    data = {"text": "x" * 16_000}
    body = {"scan_type": "encounter", "encounter": PUZZLE | {"data": data}}

    response = client.post(staff.codes, json=body, headers=staff.admin.headers)
    assert response.status_code == 201, response.text

    (entry,) = list_entries(client, staff)
    assert set(entry["new"]["encounter"]) == {"bytes", "sha256"}


def test_a_logo_is_recorded_by_size_and_digest(client: Any, conn: Conn, staff: Staff) -> None:
    path = f"{staff.codes}/{make_code(conn, staff.org_id)}/customization/logo"

    assert client.put(path, data={"logo": (BytesIO(logo()), "a.png")}, headers=staff.admin.headers).status_code == 200
    assert client.delete(path, headers=staff.admin.headers).status_code == 204

    removed, put = list_entries(client, staff)
    assert (put["action"], put["old"], set(put["new"])) == ("logo.set", None, {"bytes", "sha256"})
    assert (removed["action"], removed["old"]) == ("logo.removed", {"sha256": put["new"]["sha256"]})


def test_changes_of_members_reviews_and_renders_are_recorded(app: Flask, client: Any, conn: Conn, staff: Staff) -> None:
    grace = sign_in(app, conn, "grace")
    code_id = make_code(conn, staff.org_id)
    held = make_held_scan(conn, staff.member.id, code_id)
    invited = {"username": "grace", "role": "member"}
    invitations = f"{staff.path}/invitations"
    invitation = client.post(invitations, json=invited, headers=staff.owner.headers).json
    client.post(f"{invitation['url']}/decline", headers=grace.headers)
    invitation = client.post(invitations, json=invited, headers=staff.owner.headers).json
    client.delete(f"{invitations}/{invitation['id']}", headers=staff.owner.headers)
    invitation = client.post(invitations, json=invited, headers=staff.owner.headers).json
    client.post(f"{invitation['url']}/accept", headers=grace.headers)
    member = f"{staff.path}/members/{grace.id}"
    client.patch(member, json={"role": "admin"}, headers=staff.owner.headers)
    client.delete(member, headers=staff.owner.headers)
    for _ in range(2):  # the second release changes nothing
        client.post(f"{staff.path}/scans/{held}/release", headers=staff.admin.headers)
    client.post(f"{staff.path}/scans/{held}/annul", headers=staff.admin.headers)
    render_job = client.post(f"{staff.path}/renders", json={"qr_ids": [str(code_id)]}, headers=staff.admin.headers)
    client.delete(render_job.json["status_url"], headers=staff.admin.headers)

    entries = [(entry["action"], entry["old"], entry["new"]) for entry in reversed(list_entries(client, staff))]

    render = {"output": "zip", "format": "png", "size": 300, "error_correction": "M", "template": None, "caption": None}
    render |= {"start_at": None}
    offer = {"role": "member", "player_id": str(grace.id), "uses": 1}
    assert entries == [
        ("invitation.created", None, offer),
        ("invitation.declined", offer, None),
        ("invitation.created", None, offer),
        ("invitation.revoked", offer, None),
        ("invitation.created", None, offer),
        ("member.added", None, {"role": "member", "invitation_id": invitation["id"]}),
        ("member.changed", {"role": "member"}, {"role": "admin"}),
        ("member.removed", {"role": "admin"}, None),
        ("scan.released", {"status": "held"}, {"status": "success"}),
        ("scan.annulled", {"status": "success"}, {"status": "annulled"}),
        ("render.started", None, render | {"codes": 1}),
        ("render.canceled", None, None),
    ]


def test_the_creation_of_the_organization_is_the_first_entry(app: Flask, client: Any, conn: Conn) -> None:
    ada = sign_in(app, conn, "ada")
    org_id = client.post("/api/organizations", json={"name": "Museum"}, headers=ada.headers).json["id"]
    client.patch(f"/api/organizations/{org_id}", json={"name": "Gallery"}, headers=ada.headers)

    entries = client.get(f"/api/organizations/{org_id}/audit", headers=ada.headers).json["items"]

    created: dict[str, Any] = {"name": "Museum", "slug": "museum", "url": None, "color": None, "fair_play": None}
    created |= {"position_retention_days": 90}
    assert [(entry["action"], entry["old"], entry["new"]) for entry in entries] == [
        ("organization.changed", {"name": "Museum"}, {"name": "Gallery"}),
        ("organization.created", None, created),
    ]


def test_a_bulk_creation_is_one_entry(client: Any, staff: Staff) -> None:
    bulk = client.post(
        f"{staff.codes}/bulk?partial=true",
        json={"codes": [{"scan_type": "item_drop"}, {"scan_type": "item_drop"}, {}]},
        headers=staff.admin.headers,
    )

    (entry,) = list_entries(client, staff)
    assert (entry["action"], entry["object_id"]) == ("codes.imported", bulk.json["id"])
    assert entry["new"] == {"codes": 2, "failed": 1}


@pytest.mark.parametrize(
    ("rows", "wrong", "expected"), [(MAX_SYNCHRONOUS_ROWS + 1, 0, 1), (MAX_SYNCHRONOUS_ROWS + 1, 1, 0)]
)
def test_an_import_finished_by_a_worker_has_the_actor_of_its_start(
    client: Any, staff: Staff, rows: int, wrong: int, expected: int
) -> None:
    text = "scan_type\n" + "item_drop\n" * (rows - wrong) + "nonsense\n" * wrong
    headers = staff.admin.headers | {"Content-Type": "text/csv", "X-Request-ID": "r1"}

    response = client.post(f"{staff.codes}/import", data=text, headers=headers)
    assert response.status_code == 202
    run_pending()

    *added, started = list_entries(client, staff, f"?object_id={response.json['id']}")
    assert (started["action"], started["new"]) == ("import.started", {"rows": rows, "partial": False})
    assert [(entry["action"], entry["new"]) for entry in added] == [
        ("codes.imported", {"codes": rows, "failed": 0})
    ] * expected
    assert all((entry["actor"], entry["request_id"]) == (started["actor"], "r1") for entry in added)


def test_a_retry_adds_no_second_entry(client: Any, staff: Staff) -> None:
    headers = staff.admin.headers | {"Idempotency-Key": "01J"}

    for _ in range(2):
        assert client.post(staff.codes, json={"scan_type": "item_drop"}, headers=headers).status_code == 201

    assert len(list_entries(client, staff)) == 1


@pytest.fixture
def code_ids(client: Any, conn: Conn, staff: Staff) -> list[str]:
    """Ids of five new codes, newest first. Each has an entry."""
    creators = (staff.owner, staff.admin, staff.owner, staff.admin, staff.owner)
    responses = [client.post(staff.codes, json={"scan_type": "item_drop"}, headers=by.headers) for by in creators]
    return [response.json["id"] for response in reversed(responses)]


def test_entries_are_paged(client: Any, staff: Staff, code_ids: list[str]) -> None:
    seen, cursor = [], ""
    while cursor is not None:
        page = client.get(
            f"{staff.path}/audit?limit=2&cursor={cursor}".removesuffix("&cursor="), headers=staff.admin.headers
        )
        seen += [entry["object_id"] for entry in page.json["items"]]
        cursor = page.json["next_cursor"]

    assert seen == code_ids


def test_filters_by_action_actor_and_object_combine(client: Any, staff: Staff, code_ids: list[str]) -> None:
    client.delete(f"{staff.codes}/{code_ids[0]}", headers=staff.admin.headers)

    assert [entry["object_id"] for entry in list_entries(client, staff, "?action=code.deleted")] == [code_ids[0]]
    assert [entry["object_id"] for entry in list_entries(client, staff, f"?actor={staff.owner.id}")] == code_ids[::2]
    assert [entry["action"] for entry in list_entries(client, staff, f"?object_id={code_ids[0]}")] == [
        "code.deleted",
        "code.created",
    ]
    assert list_entries(client, staff, "?action=code.deleted&object_id=nothing") == []
    for query in ("?actor=not-an-id", f"?action={'a' * 101}", "?cursor=nonsense", "?limit=0"):
        assert client.get(f"{staff.path}/audit{query}", headers=staff.admin.headers).status_code == 422


def test_entries_of_another_organization_are_not_listed(
    client: Any, conn: Conn, staff: Staff, code_ids: list[str]
) -> None:
    other = make_org(conn)
    conn.execute("INSERT INTO memberships (org_id, player_id, role) VALUES (%s, %s, 'owner')", (other, staff.owner.id))

    assert client.get(f"/api/organizations/{other}/audit", headers=staff.owner.headers).json["items"] == []


def test_an_erased_actor_is_shown_by_the_generated_name(
    client: Any, conn: Conn, staff: Staff, code_ids: list[str]
) -> None:
    conn.execute("UPDATE players SET username = 'erased-1' WHERE id = %s", (staff.owner.id,))

    assert {entry["actor"]["name"] for entry in list_entries(client, staff, f"?actor={staff.owner.id}")} == {"erased-1"}
