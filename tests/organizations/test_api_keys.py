"""API keys: create, authenticate, list, revoke. The secret is shown once and never stored in clear text."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.errors import CredentialsExpired, CredentialsInvalid, CredentialsRevoked, Unauthenticated
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import api_keys
from shared.organizations.api_keys import KEY_PATTERN, NewApiKey
from tests.support.callers import Staff, bearer, make_key
from tests.support.concurrency import run_concurrently
from tests.support.factories import make_org

BODY = {"name": "Kiosk", "scopes": ["scan", "codes:read"]}


def create(client: Any, staff: Staff, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    return client.post(f"{staff.path}/api-keys", json=BODY | fields, headers=staff.admin.headers | (headers or {}))


def test_new_keys_differ_and_match_the_pattern_of_secret_scanners() -> None:
    new_key = NewApiKey.new()

    assert KEY_PATTERN.fullmatch(new_key.text)
    assert new_key.secret.hex() not in repr(new_key)
    assert NewApiKey.new().text != new_key.text


@pytest.fixture
def org_id(conn: Conn) -> UUID:
    return make_org(conn)


def test_authenticate_returns_the_key_with_its_scopes(conn: Conn, org_id: UUID) -> None:
    machine = make_key(conn, org_id, "scan", "renders")

    key = api_keys.authenticate(conn, machine.text)

    assert key == api_keys.ApiKey(machine.id, org_id, ("scan", "renders"), machine.stored.prefix)
    assert machine.text.startswith(machine.stored.prefix)


def test_authenticate_rejects_malformed_and_unknown_keys(conn: Conn, org_id: UUID) -> None:
    text = make_key(conn, org_id).text
    last = "0" if text[-1] != "0" else "1"

    for wrong in ("", "wm_", text[:-1], text + "0", text[:-1] + last, text.upper(), f" {text}", text + "\n", "wm_\x00"):
        with pytest.raises(Unauthenticated):
            api_keys.authenticate(conn, wrong)
    with pytest.raises(CredentialsInvalid):
        api_keys.authenticate(conn, NewApiKey.new().text)


def test_authenticate_rejects_revoked_and_expired_keys(conn: Conn, org_id: UUID) -> None:
    revoked, expired, valid = (make_key(conn, org_id) for _ in range(3))
    api_keys.revoke(conn, org_id, revoked.id)
    conn.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", (expired.id,))
    conn.execute("UPDATE api_keys SET expires_at = now() + interval '1 minute' WHERE id = %s", (valid.id,))

    with pytest.raises(CredentialsRevoked):
        api_keys.authenticate(conn, revoked.text)
    with pytest.raises(CredentialsExpired):
        api_keys.authenticate(conn, expired.text)
    assert api_keys.authenticate(conn, valid.text).id == valid.id


def last_used(conn: Conn) -> datetime | None:
    row = conn.execute("SELECT last_used_at FROM api_keys").fetchone()
    assert row is not None
    time: datetime | None = row[0]
    return time


def test_last_use_is_stored_once_a_minute(conn: Conn, org_id: UUID) -> None:
    text = make_key(conn, org_id).text
    assert last_used(conn) is None

    api_keys.authenticate(conn, text)
    first = last_used(conn)
    assert first is not None
    api_keys.authenticate(conn, text)
    assert last_used(conn) == first

    conn.execute("UPDATE api_keys SET last_used_at = now() - interval '61 seconds'")
    api_keys.authenticate(conn, text)
    assert (last_used(conn) or first) > first


def test_authenticate_does_not_wait_for_a_locked_key(conn: Conn, org_id: UUID) -> None:
    """A revocation holds the lock. Without SKIP LOCKED the request would wait for it."""
    text = make_key(conn, org_id).text

    with db.transaction() as revoking:
        revoking.execute("SELECT FROM api_keys FOR UPDATE")
        api_keys.authenticate(conn, text)
    assert last_used(conn) is None


def test_only_its_organization_can_revoke_a_key_and_only_once(conn: Conn, org_id: UUID) -> None:
    machine = make_key(conn, org_id)

    assert api_keys.revoke(conn, make_org(conn), machine.id) is None
    assert api_keys.revoke(conn, org_id, machine.id) == machine.stored
    assert api_keys.revoke(conn, org_id, machine.id) is None
    assert api_keys.list_for_organization(conn, org_id, limit=50) == []


def test_create_returns_the_key_and_list_does_not(client: Any, conn: Conn, staff: Staff) -> None:
    response = create(client, staff)

    assert response.status_code == 201
    text = response.json.pop("key")
    assert KEY_PATTERN.fullmatch(text)
    listed = client.get(f"{staff.path}/api-keys", headers=staff.admin.headers).json["items"]
    assert listed == [{name: value for name, value in response.json.items() if name != "key"}]
    assert listed[0]["prefix"] == text[:15]
    assert (listed[0]["name"], listed[0]["scopes"]) == (BODY["name"], BODY["scopes"])
    assert (listed[0]["created_by"], listed[0]["expires_at"]) == (str(staff.admin.id), None)
    assert client.get(staff.codes, headers=bearer(text)).status_code == 200


def test_retry_returns_the_same_key_and_no_table_contains_it(client: Any, conn: Conn, staff: Staff) -> None:
    header = {"Idempotency-Key": "01J"}

    first, retry = create(client, staff, header), create(client, staff, header)

    assert (first.status_code, first.json) == (201, retry.json)
    assert create(client, staff, header, name="Another").status_code == 422
    assert conn.execute("SELECT count(*) FROM api_keys").fetchone() == (1,)
    secret = first.json["key"][16:]
    stored = "".join(
        str(row)
        for table in ("api_keys", "idempotency_keys", "audit_log")
        for row in conn.execute(f"SELECT t::text FROM {table} t").fetchall()
    )
    assert secret not in stored
    assert first.json["prefix"] in stored
    assert client.get(staff.codes, headers=bearer(retry.json["key"])).status_code == 200


def test_a_revoked_key_gets_401(client: Any, staff: Staff) -> None:
    created = create(client, staff).json
    path = f"{staff.path}/api-keys/{created['id']}"

    assert client.delete(path, headers=staff.admin.headers).status_code == 204
    assert client.get(staff.codes, headers=bearer(created["key"])).status_code == 401
    assert client.delete(path, headers=staff.admin.headers).status_code == 404
    assert client.get(f"{staff.path}/api-keys", headers=staff.admin.headers).json["items"] == []


def test_a_key_expires_by_the_clock_of_postgresql(client: Any, conn: Conn, staff: Staff) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    created = create(client, staff, expires_at=soon).json
    assert client.get(staff.codes, headers=bearer(created["key"])).status_code == 200

    conn.execute("UPDATE api_keys SET expires_at = now()")

    assert client.get(staff.codes, headers=bearer(created["key"])).status_code == 401


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"scopes": []}, "body.scopes"),
        ({"scopes": ["scan", "scan"]}, "body.scopes"),
        ({"scopes": ["everything"]}, "body.scopes.0"),
        ({"name": " "}, "body.name"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "body.expires_at"),
        ({"role": "owner"}, "body.role"),
    ],
)
def test_create_names_the_invalid_field(client: Any, staff: Staff, fields: dict[str, Any], loc: str) -> None:
    response = create(client, staff, **fields)

    assert response.status_code == 422
    assert [error["loc"] for error in response.json["errors"]] == [loc]


def test_list_pages_through_the_organizations_keys(client: Any, conn: Conn, staff: Staff) -> None:
    key_ids = [make_key(conn, staff.org_id).id for _ in range(3)]
    make_key(conn, make_org(conn))
    path = f"{staff.path}/api-keys?limit=2"

    first = client.get(path, headers=staff.admin.headers).json
    second = client.get(f"{path}&cursor={first['next_cursor']}", headers=staff.admin.headers).json

    assert [key["id"] for key in first["items"] + second["items"]] == [str(key_id) for key_id in reversed(key_ids)]
    assert second["next_cursor"] is None


def test_a_missing_scope_is_named_in_the_403(client: Any, conn: Conn, staff: Staff) -> None:
    machine = make_key(conn, staff.org_id, "codes:read")

    assert client.get(staff.codes, headers=machine.headers).status_code == 200
    forbidden = client.post(staff.codes, json={"scan_type": "item_drop"}, headers=machine.headers)
    assert (forbidden.status_code, forbidden.json["detail"]) == (403, "This key lacks the scope codes:write.")
    assert client.post(f"{staff.path}/api-keys", json=BODY, headers=machine.headers).status_code == 403


def test_only_codes_write_reads_solutions(client: Any, conn: Conn, staff: Staff) -> None:
    reader, writer = (
        make_key(conn, staff.org_id, "codes:read"),
        make_key(conn, staff.org_id, "codes:read", "codes:write"),
    )
    puzzle = {"puzzle_type": "decryption", "difficulty_level": 1, "solution": "open sesame"}
    created = client.post(staff.codes, json={"scan_type": "encounter", "encounter": puzzle}, headers=writer.headers)
    assert created.status_code == 201, created.text

    for machine, has_solution in ((reader, False), (writer, True)):
        assert (
            "solution" in client.get(created.headers["Location"], headers=machine.headers).json["encounter"]
        ) == has_solution
        assert ("sesame" in client.get(f"{staff.codes}/export", headers=machine.headers).text) == has_solution


def test_each_api_key_has_its_own_idempotency_keys(client: Any, conn: Conn, staff: Staff) -> None:
    header = {"Idempotency-Key": "01J"}
    machines = [make_key(conn, staff.org_id) for _ in range(2)]

    code_ids = [
        client.post(staff.codes, json={"scan_type": "item_drop"}, headers=machine.headers | header).json["id"]
        for machine in (*machines, machines[0])
    ]

    assert code_ids[0] == code_ids[2] != code_ids[1]


def test_concurrent_first_uses_all_succeed(app: Any, conn: Conn, staff: Staff) -> None:
    machine = make_key(conn, staff.org_id)

    responses = run_concurrently([lambda: app.test_client().get(staff.codes, headers=machine.headers)] * 8)

    assert {response.status_code for response in responses} == {200}
    assert last_used(conn) is not None


def test_a_key_gets_no_access_to_other_organizations(client: Any, conn: Conn, staff: Staff) -> None:
    foreign = make_key(conn, make_org(conn))

    assert client.get(staff.codes, headers=foreign.headers).status_code == 403
    assert client.get(f"/api/organizations/{uuid4()}/qr-codes", headers=foreign.headers).status_code == 404
    assert client.get("/api/organizations/nonsense/qr-codes", headers=foreign.headers).status_code == 404
    assert client.get("/api/organizations/nonsense/qr-codes", headers=bearer("wm_x")).status_code == 401
