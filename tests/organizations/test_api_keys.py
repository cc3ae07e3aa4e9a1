"""API keys: made, recognized, revoked; told once and kept nowhere."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.organizations import api_keys
from shared.organizations.api_keys import KEY_PATTERN, NewApiKey
from tests.support.callers import Staff, bearer, make_key
from tests.support.concurrency import run_concurrently
from tests.support.factories import make_org

BODY = {"name": "Kiosk", "scopes": ["scan", "codes:read"]}
SECRET = "s" * 32


def create(client: Any, staff: Staff, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    return client.post(f"{staff.path}/api-keys", json=BODY | fields, headers=staff.admin.headers | (headers or {}))


def test_a_key_is_easily_found_and_never_shown() -> None:
    minted = NewApiKey.new()

    assert KEY_PATTERN.fullmatch(minted.text)
    assert minted.secret.hex() not in repr(minted)
    assert NewApiKey.new().text != minted.text


def test_what_is_sealed_opens_again_with_the_same_secret_and_id_only() -> None:
    secret, key_id = NewApiKey.new().secret, uuid7()
    sealed = api_keys.mask_secret(secret, key_id, SECRET)

    assert sealed != secret
    assert api_keys.mask_secret(sealed, key_id, SECRET) == secret
    assert api_keys.mask_secret(sealed, uuid7(), SECRET) != secret
    assert api_keys.mask_secret(sealed, key_id, "t" * 32) != secret


@pytest.fixture
def org_id(conn: Conn) -> UUID:
    return make_org(conn)


def test_a_key_is_recognized_with_what_it_may(conn: Conn, org_id: UUID) -> None:
    machine = make_key(conn, org_id, "scan", "renders")

    found = api_keys.authenticate(conn, machine.text)

    assert found == api_keys.ApiKey(machine.id, org_id, ("scan", "renders"), machine.stored.prefix)
    assert machine.text.startswith(machine.stored.prefix)


def test_what_is_no_key_is_not(conn: Conn, org_id: UUID) -> None:
    text = make_key(conn, org_id).text
    last = "0" if text[-1] != "0" else "1"

    for wrong in ("", "wm_", text[:-1], text + "0", text[:-1] + last, text.upper(), f" {text}", text + "\n", "wm_\x00"):
        assert api_keys.authenticate(conn, wrong) is None
    assert api_keys.authenticate(conn, NewApiKey.new().text) is None


def test_a_key_that_is_over_is_none(conn: Conn, org_id: UUID) -> None:
    revoked, expired, good = (make_key(conn, org_id) for _ in range(3))
    api_keys.revoke(conn, org_id, revoked.id)
    conn.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", (expired.id,))
    conn.execute("UPDATE api_keys SET expires_at = now() + interval '1 minute' WHERE id = %s", (good.id,))

    assert [bool(api_keys.authenticate(conn, machine.text)) for machine in (revoked, expired, good)] == [
        False,
        False,
        True,
    ]


def last_used(conn: Conn) -> datetime | None:
    row = conn.execute("SELECT last_used_at FROM api_keys").fetchone()
    assert row is not None
    found: datetime | None = row[0]
    return found


def test_its_use_is_noted_once_a_minute(conn: Conn, org_id: UUID) -> None:
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


def test_nobody_waits_to_note_its_use(conn: Conn, org_id: UUID) -> None:
    """Given somebody who holds the key's row, as one who revokes it does."""
    text = make_key(conn, org_id).text

    with db.transaction() as own:
        own.execute("SELECT FROM api_keys FOR UPDATE")
        assert api_keys.authenticate(conn, text)
    assert last_used(conn) is None


def test_a_key_is_revoked_once_by_its_own_organization(conn: Conn, org_id: UUID) -> None:
    machine = make_key(conn, org_id)

    assert api_keys.revoke(conn, make_org(conn), machine.id) is None
    assert api_keys.revoke(conn, org_id, machine.id) == machine.stored
    assert api_keys.revoke(conn, org_id, machine.id) is None
    assert api_keys.of_organization(conn, org_id, limit=50) == []


def test_a_key_is_told_once(client: Any, conn: Conn, staff: Staff) -> None:
    made = create(client, staff)

    assert made.status_code == 201
    text = made.json.pop("key")
    assert KEY_PATTERN.fullmatch(text)
    listed = client.get(f"{staff.path}/api-keys", headers=staff.admin.headers).json["items"]
    assert listed == [{name: value for name, value in made.json.items() if name != "key"}]
    assert listed[0]["prefix"] == text[:15]
    assert (listed[0]["name"], listed[0]["scopes"]) == (BODY["name"], BODY["scopes"])
    assert (listed[0]["created_by"], listed[0]["expires_at"]) == (str(staff.admin.id), None)
    assert client.get(staff.codes, headers=bearer(text)).status_code == 200


def test_a_retry_tells_the_same_key_and_the_database_never_held_it(client: Any, conn: Conn, staff: Staff) -> None:
    header = {"Idempotency-Key": "01J"}

    first, again = create(client, staff, header), create(client, staff, header)

    assert (first.status_code, first.json) == (201, again.json)
    assert create(client, staff, header, name="Another").status_code == 422
    assert conn.execute("SELECT count(*) FROM api_keys").fetchone() == (1,)
    secret = first.json["key"][16:]
    held = "".join(
        str(row)
        for table in ("api_keys", "idempotency_keys", "audit_log")
        for row in conn.execute(f"SELECT t::text FROM {table} t").fetchall()
    )
    assert secret not in held
    assert first.json["prefix"] in held
    assert client.get(staff.codes, headers=bearer(again.json["key"])).status_code == 200


def test_from_the_answer_on_a_revoked_key_is_not_good(client: Any, staff: Staff) -> None:
    made = create(client, staff).json
    path = f"{staff.path}/api-keys/{made['id']}"

    assert client.delete(path, headers=staff.admin.headers).status_code == 204
    assert client.get(staff.codes, headers=bearer(made["key"])).status_code == 401
    assert client.delete(path, headers=staff.admin.headers).status_code == 404
    assert client.get(f"{staff.path}/api-keys", headers=staff.admin.headers).json["items"] == []


def test_a_key_expires_by_the_databases_clock(client: Any, conn: Conn, staff: Staff) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = create(client, staff, expires_at=soon).json
    assert client.get(staff.codes, headers=bearer(made["key"])).status_code == 200

    conn.execute("UPDATE api_keys SET expires_at = now()")

    assert client.get(staff.codes, headers=bearer(made["key"])).status_code == 401


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
def test_a_malformed_key_is_named(client: Any, staff: Staff, fields: dict[str, Any], loc: str) -> None:
    answer = create(client, staff, **fields)

    assert answer.status_code == 422
    assert [fault["loc"] for fault in answer.json["errors"]] == [loc]


def test_keys_are_listed_page_by_page(client: Any, conn: Conn, staff: Staff) -> None:
    made = [make_key(conn, staff.org_id).id for _ in range(3)]
    make_key(conn, make_org(conn))
    path = f"{staff.path}/api-keys?limit=2"

    first = client.get(path, headers=staff.admin.headers).json
    second = client.get(f"{path}&cursor={first['next_cursor']}", headers=staff.admin.headers).json

    assert [key["id"] for key in first["items"] + second["items"]] == [str(key_id) for key_id in reversed(made)]
    assert second["next_cursor"] is None


def test_a_key_says_which_scope_it_lacks(client: Any, conn: Conn, staff: Staff) -> None:
    machine = make_key(conn, staff.org_id, "codes:read")

    assert client.get(staff.codes, headers=machine.headers).status_code == 200
    refused = client.post(staff.codes, json={"scan_type": "item_drop"}, headers=machine.headers)
    assert (refused.status_code, refused.json["detail"]) == (403, "This key lacks the scope codes:write.")
    assert client.post(f"{staff.path}/api-keys", json=BODY, headers=machine.headers).status_code == 403


def test_only_who_may_set_solutions_reads_them(client: Any, conn: Conn, staff: Staff) -> None:
    reader, writer = (
        make_key(conn, staff.org_id, "codes:read"),
        make_key(conn, staff.org_id, "codes:read", "codes:write"),
    )
    puzzle = {"puzzle_type": "decryption", "difficulty_level": 1, "solution": "open sesame"}
    made = client.post(staff.codes, json={"scan_type": "encounter", "encounter": puzzle}, headers=writer.headers)
    assert made.status_code == 201, made.text

    for machine, told in ((reader, False), (writer, True)):
        assert ("solution" in client.get(made.headers["Location"], headers=machine.headers).json["encounter"]) == told
        assert ("sesame" in client.get(f"{staff.codes}/export", headers=machine.headers).text) == told


def test_idempotency_keys_belong_to_the_key(client: Any, conn: Conn, staff: Staff) -> None:
    header = {"Idempotency-Key": "01J"}
    machines = [make_key(conn, staff.org_id) for _ in range(2)]

    made = [
        client.post(staff.codes, json={"scan_type": "item_drop"}, headers=machine.headers | header).json["id"]
        for machine in (*machines, machines[0])
    ]

    assert made[0] == made[2] != made[1]


def test_of_many_first_uses_at_once_all_are_answered(app: Any, conn: Conn, staff: Staff) -> None:
    machine = make_key(conn, staff.org_id)

    answers = run_concurrently([lambda: app.test_client().get(staff.codes, headers=machine.headers)] * 8)

    assert {answer.status_code for answer in answers} == {200}
    assert last_used(conn) is not None


def test_a_key_of_no_organization_here_reads_nothing(client: Any, conn: Conn, staff: Staff) -> None:
    foreign = make_key(conn, make_org(conn))

    assert client.get(staff.codes, headers=foreign.headers).status_code == 403
    assert client.get(f"/api/organizations/{uuid4()}/qr-codes", headers=foreign.headers).status_code == 404
    assert client.get("/api/organizations/nonsense/qr-codes", headers=foreign.headers).status_code == 404
    assert client.get("/api/organizations/nonsense/qr-codes", headers=bearer("wm_x")).status_code == 401
