"""Imports over HTTP: all rows or none, or the valid ones; the outcome of each row; idempotency."""

from typing import Any

import pytest
from flask import Flask

from shared.imports.rules import MAX_SYNCHRONOUS_ROWS
from shared.infra.db import Conn
from tests.codes.factories import PUZZLE
from tests.imports.factories import bulk, many, staged_rows, stored, table, upload
from tests.support.callers import Staff, make_staff
from tests.support.concurrency import run_concurrently
from tests.support.factories import make_code, make_org
from workers import imports as worker

DROP = {"scan_type": "item_drop"}


def rows(response: Any) -> list[tuple[Any, ...]]:
    return [(row["line"], row["status"], row["field"], row["message"]) for row in response.json["rows"]]


def test_a_list_creates_codes_like_single_requests(client: Any, staff: Staff) -> None:
    code = DROP | {"code": "spy123", "encounter": PUZZLE, "reward": {"item": "gem", "quantity": 2}, "tags": ["b", "a"]}

    response = bulk(client, staff, code, DROP)

    assert response.status_code == 201
    assert response.headers["Location"] == response.json["status_url"]
    summary = {name: response.json[name] for name in ("status", "total", "done", "failed", "progress", "message")}
    assert summary == {"status": "done", "total": 2, "done": 2, "failed": 0, "progress": 1.0, "message": None}
    assert rows(response) == [(1, "added", None, None), (2, "added", None, None)]
    first, second = response.json["rows"]
    assert (first["code"], len(second["code"])) == ("spy123", 12)
    created = client.get(f"{staff.codes}/{first['qr_id']}", headers=staff.admin.headers).json
    assert created["encounter"].pop("id")
    assert {name: created[name] for name in code} == code
    assert client.get(response.json["status_url"], headers=staff.admin.headers).json == response.json


def test_a_file_creates_codes_like_single_requests(client: Any, conn: Conn, staff: Staff) -> None:
    row = {
        "tags": "east|hidden",
        "scan_type": "encounter",
        "code": "spy123",
        "latitude": "-4.5",
        "longitude": "52",
        "requires_location": "TRUE",
        "encounter_puzzle_type": "pattern",
        "encounter_difficulty_level": "7",
        "encounter_data": '{"hint": "é"}',
        "per_player_limit": "null",
        "expires_at": "2027-01-01T00:00:00+01:00",
        "description": "two\nlines",
    }

    response = upload(client, staff, table(row, delimiter=";"), Content_Type="text/csv; charset=UTF-8")

    assert response.status_code == 201, response.text
    created = client.get(f"{staff.codes}/{response.json['rows'][0]['qr_id']}", headers=staff.admin.headers).json
    assert created["encounter"] | {"id": None} == {
        "id": None,
        "puzzle_type": "pattern",
        "difficulty_level": 7,
        "data": {"hint": "é"},
        "solution": None,
        "max_attempts": None,
    }
    assert (created["tags"], created["latitude"], created["per_player_limit"]) == (["east", "hidden"], -4.5, None)
    assert (created["expires_at"], created["description"], created["active"]) == (
        "2026-12-31T23:00:00Z",
        "two\nlines",
        True,
    )
    assert staged_rows(conn) == 0


@pytest.mark.parametrize("make", [bulk, lambda c, s: upload(c, s, b"scan_type\n")])
def test_an_empty_list_or_file_is_accepted(client: Any, staff: Staff, make: Any) -> None:
    response = make(client, staff)

    assert response.status_code == 201
    assert (response.json["total"], response.json["rows"], response.json["progress"]) == (0, [], 1.0)


def test_one_invalid_row_rejects_the_import(client: Any, conn: Conn, staff: Staff) -> None:
    response = upload(
        client, staff, b'scan_type,code,latitude,longitude\nitem_drop,"a1\n1",1,1\nitem_drop,abc,91,0\nx,\n'
    )

    assert response.status_code == 422
    assert response.content_type == "application/problem+json"
    assert response.json["detail"] == "3 of 3 rows are invalid. No code was added."
    assert [error["loc"] for error in response.json["errors"]] == [
        "body.lines.2.code",
        "body.lines.4.latitude",
        "body.lines.5",
    ]
    response = bulk(client, staff, DROP | {"code": "abc"}, {"scan_type": "chess"}, DROP)
    assert response.status_code == 422
    assert [error["loc"] for error in response.json["errors"]] == ["body.codes.1.scan_type"]
    assert [row[:3] for row in rows(response)] == [
        (2, "failed", "scan_type"),
        (1, "not_added", None),
        (3, "not_added", None),
    ]
    assert stored(conn) == set()
    assert conn.execute("SELECT FROM imports").rowcount == staged_rows(conn) == 0


def test_partial_import_adds_the_valid_rows(client: Any, conn: Conn, staff: Staff) -> None:
    response = bulk(
        client, staff, DROP | {"code": "abc"}, {"scan_type": "chess"}, DROP | {"code": "abd"}, query="?partial=true"
    )

    assert response.status_code == 201
    assert (response.json["total"], response.json["done"], response.json["failed"]) == (3, 2, 1)
    assert [row[:3] for row in rows(response)] == [(2, "failed", "scan_type"), (1, "added", None), (3, "added", None)]
    assert stored(conn) == {"abc", "abd"}


def test_added_codes_that_give_nothing_have_warnings(client: Any, staff: Staff) -> None:
    listed = bulk(client, staff, DROP, DROP | {"reward": {"item": "gem", "quantity": 1}}, {"scan_type": "chess"}).json
    partial = bulk(client, staff, DROP, {"scan_type": "chess"}, query="?partial=true").json

    assert [bool(row["warnings"]) for row in listed["rows"]] == [False, True, False]
    assert [row["warnings"] for row in partial["rows"]] == [[], ["Scans of this item_drop give nothing. Set a reward."]]


def test_taken_and_repeated_codes_have_different_messages(client: Any, conn: Conn, staff: Staff) -> None:
    make_code(conn, staff.org_id, code="mine")
    make_code(conn, make_org(conn), code="taken", description="secret")
    data = table(*(DROP | {"code": code} for code in ("mine", "taken", "new", "new", "New", "mine", "new")))

    for query, status in (("", 422), ("?partial=true", 201)):
        response = upload(client, staff, data, query=query)
        assert response.status_code == status
        failed = [row for row in rows(response) if row[1] == "failed"]
        assert failed == [
            (2, "failed", "code", "This code text is taken."),
            (3, "failed", "code", "This code text is taken."),
            (5, "failed", "code", "This code is already in line 4."),
            (7, "failed", "code", "This code text is taken."),
            (8, "failed", "code", "This code is already in line 4."),
        ]
    assert stored(conn) == {"mine", "taken", "new", "New"}


def test_a_destination_may_be_in_the_same_file(client: Any, conn: Conn, staff: Staff) -> None:
    make_code(conn, staff.org_id, code="gate")
    make_code(conn, make_org(conn), code="taken")
    destinations = {
        "a-1": "a-2",
        "a-2": "gate",
        "b-1": "b-2",
        "b-2": "nowhere",
        "c-1": "taken",
        "r-1": "r-2",
        "r-2": "r-1",
    }
    data = table(
        *({"scan_type": "transportation", "code": code, "destination_code": to} for code, to in destinations.items())
    )

    response = upload(client, staff, data, query="?partial=true")

    assert {row["code"] for row in response.json["rows"] if row["status"] == "failed"} == {"b-1", "b-2", "c-1"}
    assert {row["field"] for row in response.json["rows"] if row["status"] == "failed"} == {"destination_code"}
    assert stored(conn) == {"gate", "taken", "a-1", "a-2", "r-1", "r-2"}
    leads = conn.execute("SELECT q.code, d.code FROM qr_codes q JOIN qr_codes d ON d.id = q.destination_id").fetchall()
    assert dict(leads) == {"a-1": "a-2", "a-2": "gate", "r-1": "r-2", "r-2": "r-1"}


def test_an_invalid_row_does_not_repeat_a_valid_one(client: Any, conn: Conn, staff: Staff) -> None:
    """Nor does it invalidate rows whose destination both rows create."""
    data = table(
        {"code": "abc", "scan_type": "item_drop", "destination_code": "nowhere"},
        {"code": "abd", "scan_type": "item_drop", "destination_code": "abc"},
        {"code": "abc", "scan_type": "item_drop", "destination_code": ""},
        {"code": "abc", "scan_type": "item_drop", "destination_code": "abd"},
    )

    response = upload(client, staff, data, query="?partial=true")

    assert {row[:3] for row in rows(response)} == {
        (2, "failed", "destination_code"), (3, "added", None), (4, "added", None), (5, "failed", "code"),
    }  # fmt: skip
    assert "This code is already in line 4." in {row[3] for row in rows(response)}
    assert stored(conn) == {"abc", "abd"}


def test_more_than_a_thousand_rows_are_added_by_a_worker(client: Any, conn: Conn, staff: Staff) -> None:
    response = upload(client, staff, many(MAX_SYNCHRONOUS_ROWS, "few"))
    assert (response.status_code, len(response.json["rows"])) == (201, 1_000)
    assert [error["loc"] for error in bulk(client, staff, *[DROP] * (MAX_SYNCHRONOUS_ROWS + 1)).json["errors"]] == [
        "body.codes"
    ]

    response = upload(client, staff, many(MAX_SYNCHRONOUS_ROWS + 1, "more"))

    assert response.status_code == 202
    assert response.headers["Location"] == response.json["status_url"]
    assert (response.json["status"], response.json["total"], response.json["progress"]) == (
        "queued",
        MAX_SYNCHRONOUS_ROWS + 1,
        0.0,
    )
    assert len(stored(conn)) == MAX_SYNCHRONOUS_ROWS
    worker.run_pending()
    job = client.get(response.headers["Location"], headers=staff.admin.headers).json
    assert (job["status"], job["done"], job["progress"], len(job["rows"])) == (
        "done",
        MAX_SYNCHRONOUS_ROWS + 1,
        1.0,
        1_000,
    )
    assert len(stored(conn)) == 2 * MAX_SYNCHRONOUS_ROWS + 1


@pytest.mark.parametrize("count", [2, MAX_SYNCHRONOUS_ROWS + 2])
def test_a_retried_upload_adds_nothing(client: Any, conn: Conn, staff: Staff, count: int) -> None:
    # Code texts are generated: only the key distinguishes a retry from another upload.
    data = table(*[DROP] * count)

    first, again = (upload(client, staff, data, Idempotency_Key="once") for _ in range(2))
    worker.run_pending()
    later = upload(client, staff, data, Idempotency_Key="once")

    assert first.status_code == (201 if count == 2 else 202)
    assert first.data == again.data == later.data
    assert first.headers["Location"] == again.headers["Location"]
    assert len(stored(conn)) == count
    for other in (data + b"item_drop\n", data.replace(b"item_drop", b"encounter", 1)):
        rejected = upload(client, staff, other, Idempotency_Key="once")
        assert rejected.status_code == 422
        assert rejected.json["errors"][0]["loc"] == "header.Idempotency-Key"
    assert upload(client, staff, data, query="?partial=true", Idempotency_Key="once").status_code == 422
    assert len(stored(conn)) == count


def test_concurrent_retries_of_an_upload_import_once(app: Flask, conn: Conn, staff: Staff) -> None:
    data = table(DROP, DROP)

    responses = run_concurrently([lambda: upload(app.test_client(), staff, data, Idempotency_Key="once")] * 8)

    assert {response.status_code for response in responses} <= {201, 409}
    assert len({response.data for response in responses if response.status_code == 201}) == 1
    assert len(stored(conn)) == 2


def test_statistics_count_imported_codes(client: Any, staff: Staff) -> None:
    def count_codes() -> Any:
        return client.get(f"{staff.path}/stats", headers=staff.analyst.headers).json["codes"]

    assert count_codes() == 0
    bulk(client, staff, DROP, DROP)
    assert count_codes() == 2
    upload(client, staff, many(MAX_SYNCHRONOUS_ROWS + 1))
    worker.run_pending()
    assert count_codes() == MAX_SYNCHRONOUS_ROWS + 3


@pytest.mark.parametrize(("role", "status"), [("owner", 201), ("admin", 201), ("analyst", 403), ("stranger", 403)])
def test_imports_require_the_admin_role(client: Any, staff: Staff, role: str, status: int) -> None:
    assert upload(client, staff, table(DROP), by=staff[role]).status_code == status


def test_an_import_belongs_to_its_organization(app: Flask, client: Any, conn: Conn, staff: Staff) -> None:
    url = bulk(client, staff, DROP).json["status_url"]
    other = make_staff(app, conn)

    assert client.get(url, headers=other.owner.headers).status_code == 403
    other_url = url.replace(str(staff.org_id), str(other.org_id))
    assert client.get(other_url, headers=other.owner.headers).status_code == 404


def test_outcomes_list_a_thousand_rows_failures_first(client: Any, staff: Staff) -> None:
    bad = many(700, "bad").replace(b"item_drop", b"chess").split(b"\n", 1)[1]
    response = upload(client, staff, many(MAX_SYNCHRONOUS_ROWS, "good") + bad, query="?partial=true")
    worker.run_pending()

    job = client.get(response.headers["Location"], headers=staff.admin.headers).json

    assert (job["done"], job["failed"]) == (1_000, 700)
    assert [row["status"] for row in job["rows"]] == ["failed"] * 700 + ["added"] * 300
    assert [row["line"] for row in job["rows"]] == [*range(1_002, 1_702), *range(2, 302)]
