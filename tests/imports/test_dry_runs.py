"""Dry runs: the outcome of each row against the current codes, and nothing is added."""

from typing import Any

import pytest
from flask import Flask

from shared.infra.db import Conn
from tests.imports.factories import bulk, many, staged_rows, stored, table, upload
from tests.support.app_settings import change_settings
from tests.support.callers import Staff
from tests.support.factories import make_code, make_org
from workers.imports import run_pending

DROP = {"scan_type": "item_drop"}


def outcomes(job: Any) -> dict[int, tuple[str, str | None]]:
    return {row["line"]: (row["status"], row["field"]) for row in job["rows"]}


def audit_entries(conn: Conn) -> int:
    return conn.execute("SELECT FROM audit_log").rowcount


@pytest.mark.parametrize("query", ["?dry_run=true", "?dry_run=true&partial=true"])
def test_a_small_dry_run_returns_every_outcome(client: Any, conn: Conn, staff: Staff, query: str) -> None:
    make_code(conn, make_org(conn), code="taken")
    rows = [
        {"code": "fine", "scan_type": "item_drop", "destination_code": ""},
        {"code": "taken", "scan_type": "item_drop", "destination_code": ""},
        {"code": "fine", "scan_type": "item_drop", "destination_code": ""},
        {"code": "lift", "scan_type": "transportation", "destination_code": "nowhere"},
        {"code": "stairs", "scan_type": "transportation", "destination_code": "fine"},
        {"code": "bad", "scan_type": "?", "destination_code": ""},
    ]
    of_file = upload(client, staff, table(*rows), query=query)
    of_list = bulk(client, staff, *({k: v for k, v in row.items() if v} for row in rows), query=query)

    expected = [
        ("valid", None),
        ("failed", "code"),
        ("failed", "code"),
        ("failed", "destination_code"),
        ("valid", None),
        ("failed", "scan_type"),
    ]
    for response, first in ((of_file, 2), (of_list, 1)):
        job = response.json
        assert response.status_code == 200, response.text
        assert (job["id"], job["status_url"], job["status"], job["dry_run"]) == (None, None, "checked", True)
        assert (job["total"], job["done"], job["failed"], job["progress"], job["message"]) == (6, 0, 4, 1.0, None)
        assert outcomes(job) == dict(enumerate(expected, first))
        assert all(row["qr_id"] is None for row in job["rows"])
    assert stored(conn) == {"taken"}
    assert conn.execute("SELECT FROM imports").rowcount == staged_rows(conn) == audit_entries(conn) == 0


def test_a_dry_run_lists_no_text_that_it_generated(client: Any, staff: Staff) -> None:
    rows = bulk(client, staff, DROP, DROP | {"code": "given"}, query="?dry_run=true").json["rows"]
    assert [row["code"] for row in rows] == [None, "given"]
    assert bulk(client, staff, DROP).json["rows"][0]["code"] is not None


def test_a_large_dry_run_ends_as_checked(client: Any, conn: Conn, staff: Staff) -> None:
    make_code(conn, staff.org_id, code="many-7")

    response = upload(client, staff, many(1_001), query="?dry_run=true")
    assert (response.status_code, response.json["dry_run"]) == (202, True)
    run_pending()
    job = client.get(response.json["status_url"], headers=staff.admin.headers).json

    assert (job["status"], job["total"], job["done"], job["failed"], job["progress"]) == ("checked", 1_001, 0, 1, 1.0)
    assert outcomes(job)[9] == ("failed", "code")
    assert outcomes(job)[2] == ("valid", None)
    assert stored(conn) == {"many-7"}
    assert staged_rows(conn) == audit_entries(conn) == 0


def test_a_dry_run_says_that_the_codes_do_not_fit_the_quota(
    app: Flask, client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_settings(app, monkeypatch, max_codes_per_organization=2)
    make_code(conn, staff.org_id)

    fits, too_many = (bulk(client, staff, *[DROP] * count, query="?dry_run=true").json for count in (1, 2))

    assert fits["message"] is None
    assert (too_many["status"], too_many["failed"]) == ("checked", 0)
    assert too_many["message"].startswith("1 of 2 codes of this organization are in use")


def test_a_retry_of_a_dry_run_returns_the_first_response(client: Any, staff: Staff) -> None:
    first, again = (bulk(client, staff, DROP, query="?dry_run=true", Idempotency_Key="k") for _ in range(2))
    assert first.json == again.json
    assert bulk(client, staff, DROP, Idempotency_Key="k").status_code == 422


@pytest.mark.parametrize(("data", "status"), [(b"", 422), (b"a,b\n", 422), (b"PK\x03\x04", 422)])
def test_an_unreadable_file_is_rejected_as_without_a_dry_run(
    client: Any, staff: Staff, data: bytes, status: int
) -> None:
    assert upload(client, staff, data, query="?dry_run=true").status_code == status
    assert upload(client, staff, many(1), query="?dry_run=true", Content_Type="text/plain").status_code == 415
