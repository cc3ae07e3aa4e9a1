"""Idempotency-Key on POSTs that create: one creation per key and caller, also after crashes and races."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from shared.infra import db, idempotency
from shared.infra.db import Conn
from tests.support.callers import SignedInPlayer, Staff
from tests.support.concurrency import run_concurrently

KEY = "01J-chosen-by-the-client"
CODE = {"scan_type": "item_drop", "code": "spy123"}


def post(client: Any, staff: Staff, by: SignedInPlayer | None = None, key: str = KEY, **fields: Any) -> Any:
    headers = (by or staff.owner).headers | {"Idempotency-Key": key}
    return client.post(staff.codes, json=CODE | fields, headers=headers)


def count(conn: Conn, table: str = "qr_codes") -> int:
    return int(db.exactly_one(conn.execute(f"SELECT count(*) FROM {table}"))[0])


@pytest.mark.parametrize(
    ("path", "body", "table"),
    [
        ("/api/organizations", {"name": "Museum"}, "organizations"),
        ("/generate", {"data": "https://example.com"}, "generated_codes"),
        ("{org}/qr-codes", {"scan_type": "item_drop"}, "qr_codes"),
        ("{org}/qr-codes/bulk", {"codes": [{"scan_type": "item_drop"}]}, "qr_codes"),
        ("{org}/invitations", {"role": "member", "uses": 3}, "invitations"),
        ("{org}/api-keys", {"name": "Kiosk", "scopes": ["scan"]}, "api_keys"),
    ],
)
def test_a_retry_of_each_post_that_creates_returns_the_same_response(
    client: Any, conn: Conn, staff: Staff, register: Any, path: str, body: dict[str, Any], table: str
) -> None:
    register("grace")
    headers = staff.owner.headers | {"Idempotency-Key": KEY}
    before = count(conn, table)

    first, retry = (client.post(path.format(org=staff.path), json=body, headers=headers) for _ in range(2))

    assert (first.status_code, retry.status_code) == (201, 201)
    assert first.data == retry.data
    assert first.headers.get("Location") == retry.headers.get("Location")
    assert first.content_type == retry.content_type
    assert [each.headers.get("Idempotent-Replayed") for each in (first, retry)] == [None, "true"]
    assert count(conn, table) == before + 1


def test_a_retry_returns_the_first_response_after_a_deletion(client: Any, staff: Staff) -> None:
    first = post(client, staff)
    client.delete(first.headers["Location"], headers=staff.owner.headers)

    assert post(client, staff).data == first.data


def test_the_order_of_fields_does_not_matter(client: Any, staff: Staff) -> None:
    headers = staff.owner.headers | {"Idempotency-Key": KEY}
    first = client.post(
        staff.codes, data='{"code":"abc","scan_type":"item_drop"}', headers=headers, content_type="application/json"
    )
    retry = client.post(
        staff.codes, data='{"scan_type": "item_drop", "code": "abc"}', headers=headers, content_type="application/json"
    )

    assert first.status_code == retry.status_code == 201
    assert first.data == retry.data


def test_another_body_or_path_is_422(client: Any, conn: Conn, staff: Staff) -> None:
    post(client, staff)

    for response in (
        post(client, staff, code="spy124"),
        client.post(
            "/api/organizations", json={"name": "Museum"}, headers=staff.owner.headers | {"Idempotency-Key": KEY}
        ),
    ):
        assert response.status_code == 422
        assert response.json["errors"][0]["loc"] == "header.Idempotency-Key"
    assert count(conn) == 1


def test_each_caller_has_its_own_keys(client: Any, conn: Conn, staff: Staff) -> None:
    post(client, staff)

    assert post(client, staff, by=staff.admin, code="spy124").status_code == 201
    assert count(conn) == 2


def test_a_lost_role_gets_403_instead_of_the_stored_response(client: Any, conn: Conn, staff: Staff) -> None:
    post(client, staff, by=staff.admin)
    conn.execute("UPDATE memberships SET role = 'member' WHERE player_id = %s", (staff.admin.id,))

    assert post(client, staff, by=staff.admin).status_code == 403


def test_an_error_response_is_not_stored(client: Any, conn: Conn, staff: Staff) -> None:
    taken = client.post(staff.codes, json=CODE, headers=staff.owner.headers)
    assert post(client, staff).status_code == 409
    client.delete(taken.headers["Location"], headers=staff.owner.headers)

    assert post(client, staff).status_code == 201


@pytest.fixture
def key_in_use(staff: Staff) -> Iterator[None]:
    """The first request with the key is still running."""
    with db.transaction() as own:
        assert idempotency.lock(own, staff.owner.id, KEY)
        yield


@pytest.mark.usefixtures("key_in_use")
def test_a_key_is_409_while_its_first_request_runs(client: Any, conn: Conn, staff: Staff) -> None:
    assert post(client, staff).status_code == 409
    assert post(client, staff, key="another").status_code == 201


def test_concurrent_requests_create_one_code(app: Flask, conn: Conn, staff: Staff) -> None:
    def create() -> Any:
        return post(app.test_client(), staff, code=None)

    responses = run_concurrently([create] * 12)

    created = [response for response in responses if response.status_code == 201]
    assert created
    assert {response.status_code for response in responses} <= {201, 409}
    assert len({response.data for response in created}) == 1
    assert count(conn) == 1


def test_a_crash_leaves_neither_code_nor_response(
    client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends after the code was created and before the response was stored."""

    def crash(*_args: object, **_options: object) -> None:
        raise SystemError

    with monkeypatch.context() as patches:
        patches.setattr(idempotency, "save", crash)
        assert post(client, staff).status_code == 500
    assert count(conn) == 0
    assert conn.execute("SELECT count(*) FROM idempotency_keys").fetchone() == (0,)

    assert post(client, staff).status_code == 201


def test_a_terminated_connection_leaves_neither_code_nor_response(
    app: Flask, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = idempotency.save

    def terminate_and_save(own: Conn, *args: Any, **options: Any) -> None:
        conn.execute("SELECT pg_terminate_backend(%s)", (own.info.backend_pid,))
        save(own, *args, **options)

    with monkeypatch.context() as patches, ThreadPoolExecutor(1) as thread:
        patches.setattr(idempotency, "save", terminate_and_save)
        response = thread.submit(post, app.test_client(), staff).result()
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert count(conn) == 0

    assert post(app.test_client(), staff).status_code == 201


def test_a_key_is_new_after_24_hours(client: Any, conn: Conn, staff: Staff) -> None:
    post(client, staff)
    conn.execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second'")

    assert post(client, staff, code="spy124").status_code == 201
    assert post(client, staff, code="spy124").status_code == 201
    assert count(conn) == 2


def test_purge_deletes_expired_responses_only(client: Any, conn: Conn, staff: Staff) -> None:
    for number in range(3):
        post(client, staff, key=f"old-{number}", code=f"old-{number}")
    conn.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    post(client, staff)

    assert [idempotency.purge(conn, limit=2) for _ in range(3)] == [2, 1, 0]
    assert conn.execute("SELECT key FROM idempotency_keys").fetchall() == [(KEY,)]


@pytest.mark.parametrize("key", ["", "a" * 256, "tab\there", "é"])
def test_a_malformed_key_is_422(client: Any, staff: Staff, key: str) -> None:
    response = post(client, staff, key=key)

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == "header.Idempotency-Key"
