"""Many codes over HTTP: all or none, or those that are right; each row's outcome; once per key."""

from typing import Any

import pytest
from flask import Flask

from shared.imports.rules import MAX_SYNCHRONOUS_ROWS
from shared.infra.db import Conn
from tests.codes.factories import PUZZLE
from tests.imports.factories import bulk, left, many, stored, table, upload
from tests.support.callers import Staff, make_staff
from tests.support.concurrency import run_concurrently
from tests.support.factories import make_code, make_org
from workers import imports as worker

DROP = {"scan_type": "item_drop"}


def rows(answer: Any) -> list[tuple[Any, ...]]:
    return [(row["line"], row["status"], row["field"], row["message"]) for row in answer.json["rows"]]


def test_a_list_creates_codes_like_single_requests(client: Any, staff: Staff) -> None:
    code = DROP | {"code": "spy123", "encounter": PUZZLE, "reward": {"item": "gem", "quantity": 2}, "tags": ["b", "a"]}

    answer = bulk(client, staff, code, DROP)

    assert answer.status_code == 201
    assert answer.headers["Location"] == answer.json["status_url"]
    told = {name: answer.json[name] for name in ("status", "total", "done", "failed", "progress", "message")}
    assert told == {"status": "done", "total": 2, "done": 2, "failed": 0, "progress": 1.0, "message": None}
    assert rows(answer) == [(1, "added", None, None), (2, "added", None, None)]
    first, second = answer.json["rows"]
    assert (first["code"], len(second["code"])) == ("spy123", 12)
    made = client.get(f"{staff.codes}/{first['qr_id']}", headers=staff.admin.headers).json
    assert made["encounter"].pop("id")
    assert {name: made[name] for name in code} == code
    assert client.get(answer.json["status_url"], headers=staff.admin.headers).json == answer.json


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

    answer = upload(client, staff, table(row, delimiter=";"), Content_Type="text/csv; charset=UTF-8")

    assert answer.status_code == 201, answer.text
    made = client.get(f"{staff.codes}/{answer.json['rows'][0]['qr_id']}", headers=staff.admin.headers).json
    assert made["encounter"] | {"id": None} == {
        "id": None,
        "puzzle_type": "pattern",
        "difficulty_level": 7,
        "data": {"hint": "é"},
        "solution": None,
        "max_attempts": None,
    }
    assert (made["tags"], made["latitude"], made["per_player_limit"]) == (["east", "hidden"], -4.5, None)
    assert (made["expires_at"], made["description"], made["active"]) == ("2026-12-31T23:00:00Z", "two\nlines", True)
    assert left(conn) == 0


@pytest.mark.parametrize("make", [bulk, lambda c, s: upload(c, s, b"scan_type\n")])
def test_an_empty_list_or_file_is_accepted(client: Any, staff: Staff, make: Any) -> None:
    answer = make(client, staff)

    assert answer.status_code == 201
    assert (answer.json["total"], answer.json["rows"], answer.json["progress"]) == (0, [], 1.0)


def test_one_invalid_row_rejects_the_import(client: Any, conn: Conn, staff: Staff) -> None:
    answer = upload(
        client, staff, b'scan_type,code,latitude,longitude\nitem_drop,"a1\n1",1,1\nitem_drop,abc,91,0\nx,\n'
    )

    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert answer.json["detail"] == "3 rows are invalid, of 3: nothing was added"
    assert [fault["loc"] for fault in answer.json["errors"]] == [
        "body.lines.2.code",
        "body.lines.4.latitude",
        "body.lines.5",
    ]
    answer = bulk(client, staff, DROP | {"code": "abc"}, {"scan_type": "chess"}, DROP)
    assert answer.status_code == 422
    assert [fault["loc"] for fault in answer.json["errors"]] == ["body.codes.1.scan_type"]
    assert [row[:3] for row in rows(answer)] == [
        (2, "failed", "scan_type"),
        (1, "not_added", None),
        (3, "not_added", None),
    ]
    assert stored(conn) == set()
    assert conn.execute("SELECT FROM imports").rowcount == left(conn) == 0


def test_partial_import_adds_the_valid_rows(client: Any, conn: Conn, staff: Staff) -> None:
    answer = bulk(
        client, staff, DROP | {"code": "abc"}, {"scan_type": "chess"}, DROP | {"code": "abd"}, query="?partial=true"
    )

    assert answer.status_code == 201
    assert (answer.json["total"], answer.json["done"], answer.json["failed"]) == (3, 2, 1)
    assert [row[:3] for row in rows(answer)] == [(2, "failed", "scan_type"), (1, "added", None), (3, "added", None)]
    assert stored(conn) == {"abc", "abd"}


def test_taken_and_repeated_codes_have_different_messages(client: Any, conn: Conn, staff: Staff) -> None:
    make_code(conn, staff.org_id, code="mine")
    make_code(conn, make_org(conn), code="theirs", description="secret")
    data = table(*(DROP | {"code": code} for code in ("mine", "theirs", "new", "new", "New", "mine", "new")))

    for query, status in (("", 422), ("?partial=true", 201)):
        answer = upload(client, staff, data, query=query)
        assert answer.status_code == status
        failed = [row for row in rows(answer) if row[1] == "failed"]
        assert failed == [
            (2, "failed", "code", "is taken"),
            (3, "failed", "code", "is taken"),
            (5, "failed", "code", "is already in line 4"),
            (7, "failed", "code", "is taken"),
            (8, "failed", "code", "is already in line 4"),
        ]
    assert stored(conn) == {"mine", "theirs", "new", "New"}


def test_a_destination_may_be_in_the_same_file(client: Any, conn: Conn, staff: Staff) -> None:
    make_code(conn, staff.org_id, code="gate")
    make_code(conn, make_org(conn), code="theirs")
    leads = {"a-1": "a-2", "a-2": "gate", "b-1": "b-2", "b-2": "nowhere", "c-1": "theirs", "r-1": "r-2", "r-2": "r-1"}
    data = table(*({"scan_type": "transportation", "code": code, "destination_code": to} for code, to in leads.items()))

    answer = upload(client, staff, data, query="?partial=true")

    assert {row["code"] for row in answer.json["rows"] if row["status"] == "failed"} == {"b-1", "b-2", "c-1"}
    assert {row["field"] for row in answer.json["rows"] if row["status"] == "failed"} == {"destination_code"}
    assert stored(conn) == {"gate", "theirs", "a-1", "a-2", "r-1", "r-2"}


def test_an_invalid_row_does_not_repeat_a_valid_one(client: Any, conn: Conn, staff: Staff) -> None:
    """Nor does it take along what leads to the code that they both make."""
    data = table(
        {"code": "abc", "scan_type": "item_drop", "destination_code": "nowhere"},
        {"code": "abd", "scan_type": "item_drop", "destination_code": "abc"},
        {"code": "abc", "scan_type": "item_drop", "destination_code": ""},
        {"code": "abc", "scan_type": "item_drop", "destination_code": "abd"},
    )

    answer = upload(client, staff, data, query="?partial=true")

    assert {row[:3] for row in rows(answer)} == {
        (2, "failed", "destination_code"), (3, "added", None), (4, "added", None), (5, "failed", "code"),
    }  # fmt: skip
    assert "is already in line 4" in {row[3] for row in rows(answer)}
    assert stored(conn) == {"abc", "abd"}


def test_more_than_a_thousand_rows_are_added_by_a_worker(client: Any, conn: Conn, staff: Staff) -> None:
    answer = upload(client, staff, many(MAX_SYNCHRONOUS_ROWS, "few"))
    assert (answer.status_code, len(answer.json["rows"])) == (201, 1_000)
    assert [fault["loc"] for fault in bulk(client, staff, *[DROP] * (MAX_SYNCHRONOUS_ROWS + 1)).json["errors"]] == [
        "body.codes"
    ]

    answer = upload(client, staff, many(MAX_SYNCHRONOUS_ROWS + 1, "more"))

    assert answer.status_code == 202
    assert answer.headers["Location"] == answer.json["status_url"]
    assert (answer.json["status"], answer.json["total"], answer.json["progress"]) == (
        "queued",
        MAX_SYNCHRONOUS_ROWS + 1,
        0.0,
    )
    assert len(stored(conn)) == MAX_SYNCHRONOUS_ROWS
    worker.run_pending()
    told = client.get(answer.headers["Location"], headers=staff.admin.headers).json
    assert (told["status"], told["done"], told["progress"], len(told["rows"])) == (
        "done",
        MAX_SYNCHRONOUS_ROWS + 1,
        1.0,
        1_000,
    )
    assert len(stored(conn)) == 2 * MAX_SYNCHRONOUS_ROWS + 1


@pytest.mark.parametrize("n", [2, MAX_SYNCHRONOUS_ROWS + 2])
def test_a_retried_upload_adds_nothing(client: Any, conn: Conn, staff: Staff, n: int) -> None:
    data = table(*[DROP] * n)  # whose codes are made: nothing else would tell the second upload from a first

    first, again = (upload(client, staff, data, Idempotency_Key="once") for _ in range(2))
    worker.run_pending()
    later = upload(client, staff, data, Idempotency_Key="once")

    assert first.status_code == (201 if n == 2 else 202)
    assert first.data == again.data == later.data
    assert first.headers["Location"] == again.headers["Location"]
    assert len(stored(conn)) == n
    for other in (data + b"item_drop\n", data.replace(b"item_drop", b"encounter", 1)):
        refused = upload(client, staff, other, Idempotency_Key="once")
        assert refused.status_code == 422
        assert refused.json["errors"][0]["loc"] == "header.Idempotency-Key"
    assert upload(client, staff, data, query="?partial=true", Idempotency_Key="once").status_code == 422
    assert len(stored(conn)) == n


def test_concurrent_retries_of_an_upload_import_once(app: Flask, conn: Conn, staff: Staff) -> None:
    data = table(DROP, DROP)

    answers = run_concurrently([lambda: upload(app.test_client(), staff, data, Idempotency_Key="once")] * 8)

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.data for answer in answers if answer.status_code == 201}) == 1
    assert len(stored(conn)) == 2


def test_statistics_count_imported_codes(client: Any, staff: Staff) -> None:
    def counted() -> Any:
        return client.get(f"{staff.path}/stats", headers=staff.analyst.headers).json["codes"]

    assert counted() == 0
    bulk(client, staff, DROP, DROP)
    assert counted() == 2
    upload(client, staff, many(MAX_SYNCHRONOUS_ROWS + 1))
    worker.run_pending()
    assert counted() == MAX_SYNCHRONOUS_ROWS + 3


@pytest.mark.parametrize(("role", "status"), [("owner", 201), ("admin", 201), ("analyst", 403), ("stranger", 403)])
def test_imports_require_the_admin_role(client: Any, staff: Staff, role: str, status: int) -> None:
    assert upload(client, staff, table(DROP), by=staff[role]).status_code == status


def test_an_import_belongs_to_its_organization(app: Flask, client: Any, conn: Conn, staff: Staff) -> None:
    url = bulk(client, staff, DROP).json["status_url"]
    other = make_staff(app, conn)

    assert client.get(url, headers=other.owner.headers).status_code == 403
    theirs = url.replace(str(staff.org_id), str(other.org_id))
    assert client.get(theirs, headers=other.owner.headers).status_code == 404


def test_outcomes_list_a_thousand_rows_failures_first(client: Any, staff: Staff) -> None:
    bad = many(700, "bad").replace(b"item_drop", b"chess").split(b"\n", 1)[1]
    answer = upload(client, staff, many(MAX_SYNCHRONOUS_ROWS, "good") + bad, query="?partial=true")
    worker.run_pending()

    told = client.get(answer.headers["Location"], headers=staff.admin.headers).json

    assert (told["done"], told["failed"]) == (1_000, 700)
    assert [row["status"] for row in told["rows"]] == ["failed"] * 700 + ["added"] * 300
    assert [row["line"] for row in told["rows"]] == [*range(1_002, 1_702), *range(2, 302)]
