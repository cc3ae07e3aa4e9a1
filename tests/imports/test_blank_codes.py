"""Blank codes: created ahead without a place, inactive, with generated texts."""

from typing import Any

import pytest
from flask import Flask

from shared.codes import store as codes
from shared.infra.db import Conn, exactly_one
from tests.support.app_settings import change_settings
from tests.support.callers import Staff
from tests.support.factories import make_code, make_org
from workers.imports import run_pending


def create(client: Any, staff: Staff, count: int, tags: tuple[str, ...] = (), **headers: str) -> Any:
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"count": count, "tags": list(tags)}
    return client.post(f"{staff.codes}/blank", json=body, headers=staff.admin.headers | extra)


def blanks(conn: Conn) -> int:
    return conn.execute(
        """
        SELECT FROM qr_codes WHERE NOT active AND latitude IS NULL AND NOT requires_location AND reward_item IS NULL
            AND scan_type = 'item_drop' AND code ~ '^[1-9A-Za-z]{12}$'
        """
    ).rowcount


def test_blank_codes_are_inactive_and_listed(client: Any, conn: Conn, staff: Staff) -> None:
    response = create(client, staff, 3, ("batch", "batch", "east"))

    assert response.status_code == 201, response.text
    assert (response.json["status"], response.json["done"], response.json["dry_run"]) == ("done", 3, False)
    assert blanks(conn) == 3
    rows = {(str(row[0]), row[1]) for row in conn.execute("SELECT id, code FROM qr_codes WHERE tags = '{batch,east}'")}
    assert {(row["qr_id"], row["code"]) for row in response.json["rows"]} == rows
    assert client.get(response.headers["Location"], headers=staff.admin.headers).json["done"] == 3


def test_more_than_a_thousand_are_created_by_a_worker(client: Any, conn: Conn, staff: Staff) -> None:
    first, again = (create(client, staff, 1_001, Idempotency_Key="k") for _ in range(2))

    assert (first.status_code, first.json["total"], again.json["id"]) == (202, 1_001, first.json["id"])
    assert create(client, staff, 1_002, Idempotency_Key="k").status_code == 422
    run_pending()
    job = client.get(first.json["status_url"], headers=staff.admin.headers).json
    assert (job["status"], job["done"], job["progress"]) == ("done", 1_001, 1.0)
    assert blanks(conn) == 1_001
    actions = [row[0] for row in conn.execute("SELECT action FROM audit_log ORDER BY id")]
    assert actions == ["import.started", "codes.imported"]


def test_taken_texts_are_generated_again(
    client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another organization, of a deleted code, and twice in one request."""
    make_code(conn, make_org(conn), code="taken1")
    make_code(conn, staff.org_id, code="taken2", deleted_at="now")
    texts = iter(["taken1", "taken2", "same", "same", "taken1", "free1", "free2", "free3", "free4"])
    monkeypatch.setattr(codes, "generate_code_text", lambda: next(texts))
    monkeypatch.setattr("web.api.blank_codes.generate_code_text", lambda: next(texts))

    response = create(client, staff, 4)

    assert response.status_code == 201, response.text
    assert {row["code"] for row in response.json["rows"]} == {"free1", "free2", "free3", "free4"}


def test_blank_codes_count_against_the_quota(
    app: Flask, client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_settings(app, monkeypatch, max_codes_per_organization=2)

    response = create(client, staff, 3)

    assert (response.status_code, response.json["quota"]["limit"]) == (409, 2)
    assert create(client, staff, 2).status_code == 201
    assert exactly_one(conn.execute("SELECT codes FROM organization_usage")) == (2,)


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, "body.count"),
        ({"count": 0}, "body.count"),
        ({"count": 10_001}, "body.count"),
        ({"count": 1, "tags": ["a|b"]}, "body.tags.0"),
        ({"count": 1, "scan_type": "encounter"}, "body.scan_type"),
    ],
)
def test_malformed_requests_are_rejected(client: Any, staff: Staff, body: Any, loc: str) -> None:
    response = client.post(f"{staff.codes}/blank", json=body, headers=staff.admin.headers)
    assert (response.status_code, response.json["errors"][0]["loc"]) == (422, loc)
