"""Idempotency-Key on the POSTs that create: one creation per key and caller, whatever happens between."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from shared.infra import db, idempotency
from shared.infra.db import Conn
from tests.support.callers import SignedInPlayer, Staff
from tests.support.concurrency import run_concurrently

KEY = "01J-made-by-the-client"
CODE = {"scan_type": "item_drop", "code": "spy123"}


def post(client: Any, staff: Staff, by: SignedInPlayer | None = None, key: str = KEY, **fields: Any) -> Any:
    headers = (by or staff.owner).headers | {"Idempotency-Key": key}
    return client.post(staff.codes, json=CODE | fields, headers=headers)


def codes(conn: Conn) -> int:
    row = conn.execute("SELECT count(*) FROM qr_codes").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    ("path", "body", "table"),
    [
        ("/api/organizations", {"name": "Museum"}, "organizations"),
        ("/generate", {"data": "https://example.com"}, "generated_codes"),
        ("{org}/qr-codes", {"scan_type": "item_drop"}, "qr_codes"),
        ("{org}/qr-codes/bulk", {"codes": [{"scan_type": "item_drop"}]}, "qr_codes"),
        ("{org}/members", {"username": "grace", "role": "member"}, "memberships"),
        ("{org}/api-keys", {"name": "Kiosk", "scopes": ["scan"]}, "api_keys"),
    ],
)
def test_every_post_that_creates_honours_a_key(
    client: Any, conn: Conn, staff: Staff, register: Any, path: str, body: dict[str, Any], table: str
) -> None:
    register("grace")
    headers = staff.owner.headers | {"Idempotency-Key": KEY}
    before = conn.execute(f"SELECT count(*) FROM {table}").fetchone()

    first, again = (client.post(path.format(org=staff.path), json=body, headers=headers) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.data == again.data
    assert first.headers.get("Location") == again.headers.get("Location")
    assert first.content_type == again.content_type
    after = conn.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert (before, after) == (before, (before[0] + 1,)) if before else False


def test_the_first_answer_is_given_whatever_became_of_the_code(client: Any, staff: Staff) -> None:
    first = post(client, staff)
    client.delete(first.headers["Location"], headers=staff.owner.headers)

    assert post(client, staff).data == first.data


def test_the_order_of_fields_does_not_matter(client: Any, staff: Staff) -> None:
    headers = staff.owner.headers | {"Idempotency-Key": KEY}
    first = client.post(
        staff.codes, data='{"code":"abc","scan_type":"item_drop"}', headers=headers, content_type="application/json"
    )
    again = client.post(
        staff.codes, data='{"scan_type": "item_drop", "code": "abc"}', headers=headers, content_type="application/json"
    )

    assert first.status_code == again.status_code == 201


def test_another_body_or_path_is_refused(client: Any, conn: Conn, staff: Staff) -> None:
    post(client, staff)

    for answer in (
        post(client, staff, code="spy124"),
        client.post(
            "/api/organizations", json={"name": "Museum"}, headers=staff.owner.headers | {"Idempotency-Key": KEY}
        ),
    ):
        assert answer.status_code == 422
        assert answer.json["errors"][0]["loc"] == "header.Idempotency-Key"
    assert codes(conn) == 1


def test_keys_belong_to_their_caller(client: Any, conn: Conn, staff: Staff) -> None:
    post(client, staff)

    assert post(client, staff, by=staff.admin, code="spy124").status_code == 201
    assert codes(conn) == 2


def test_a_role_that_was_lost_gets_no_stored_answer(client: Any, conn: Conn, staff: Staff) -> None:
    post(client, staff, by=staff.admin)
    conn.execute("UPDATE memberships SET role = 'member' WHERE player_id = %s", (staff.admin.id,))

    assert post(client, staff, by=staff.admin).status_code == 403


def test_a_refusal_is_not_kept(client: Any, conn: Conn, staff: Staff) -> None:
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
def test_a_key_whose_first_request_still_runs_is_a_conflict(client: Any, conn: Conn, staff: Staff) -> None:
    assert post(client, staff).status_code == 409
    assert post(client, staff, key="another").status_code == 201


def test_at_once_one_is_made(app: Flask, conn: Conn, staff: Staff) -> None:
    def create() -> Any:
        return post(app.test_client(), staff, code=None)

    answers = run_concurrently([create] * 12)

    made = [answer for answer in answers if answer.status_code == 201]
    assert made
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.data for answer in made}) == 1
    assert codes(conn) == 1


def test_a_crash_leaves_neither_code_nor_answer(
    client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a process that ends after the code was made and before the answer was kept."""

    def crash(*_args: object, **_options: object) -> None:
        raise SystemError

    with monkeypatch.context() as broken:
        broken.setattr(idempotency, "save", crash)
        assert post(client, staff).status_code == 500
    assert codes(conn) == 0
    assert conn.execute("SELECT count(*) FROM idempotency_keys").fetchone() == (0,)

    assert post(client, staff).status_code == 201


def test_a_backend_that_is_killed_leaves_neither(
    app: Flask, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = idempotency.save

    def die(own: Conn, *args: Any, **options: Any) -> None:
        conn.execute("SELECT pg_terminate_backend(%s)", (own.info.backend_pid,))
        saved(own, *args, **options)

    with monkeypatch.context() as broken, ThreadPoolExecutor(1) as thread:
        broken.setattr(idempotency, "save", die)
        answer = thread.submit(post, app.test_client(), staff).result()
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert codes(conn) == 0

    assert post(app.test_client(), staff).status_code == 201


def test_after_a_day_a_key_is_new(client: Any, conn: Conn, staff: Staff) -> None:
    post(client, staff)
    conn.execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second'")

    assert post(client, staff, code="spy124").status_code == 201
    assert post(client, staff, code="spy124").status_code == 201
    assert codes(conn) == 2


def test_outlived_answers_are_forgotten(client: Any, conn: Conn, staff: Staff) -> None:
    for number in range(3):
        post(client, staff, key=f"old-{number}", code=f"old-{number}")
    conn.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    post(client, staff)

    assert [idempotency.purge(conn, limit=2) for _ in range(3)] == [2, 1, 0]
    assert conn.execute("SELECT key FROM idempotency_keys").fetchall() == [(KEY,)]


@pytest.mark.parametrize("key", ["", "a" * 256, "tab\there", "é"])
def test_a_malformed_key_is_named(client: Any, staff: Staff, key: str) -> None:
    answer = post(client, staff, key=key)

    assert answer.status_code == 422
    assert answer.json["errors"][0]["loc"] == "header.Idempotency-Key"
