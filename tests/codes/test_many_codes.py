"""Many codes changed or deleted in one request: all or nothing, by the rules of a single code."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from shared.codes import selection
from shared.infra import db
from shared.infra.db import Conn, exactly_one
from tests.support.callers import Staff
from tests.support.concurrency import wait_until_blocked
from tests.support.factories import code_text, make_code, make_org


def change(client: Any, staff: Staff, **body: Any) -> Any:
    return client.patch(staff.codes, json=body, headers=staff.admin.headers)


def delete(client: Any, staff: Staff, **body: Any) -> Any:
    return client.delete(staff.codes, json=body, headers=staff.admin.headers)


def entries(conn: Conn, staff: Staff) -> list[tuple[str, Any]]:
    rows = conn.execute(
        "SELECT action, coalesce(new, old) FROM audit_log WHERE org_id = %s ORDER BY id", (staff.org_id,)
    )
    return [(row[0], row[1]) for row in rows]


def state(conn: Conn) -> list[Any]:
    columns = "id, active, expires_at, tags, updated_at, deleted_at"
    return conn.execute(f"SELECT {columns} FROM qr_codes ORDER BY id").fetchall()


def test_ids_are_changed_with_one_audit_entry(client: Any, conn: Conn, staff: Staff) -> None:
    first = make_code(conn, staff.org_id, tags=["old", "keep"])
    second = make_code(conn, staff.org_id, tags=["new"], active=False, expires_at="2030-01-01")
    kept = make_code(conn, staff.org_id, tags=["old"])

    response = change(
        client,
        staff,
        ids=[str(first), str(second), str(first)],
        set={"active": False, "expires_at": None},
        add_tags=["new"],
        remove_tags=["old"],
    )

    assert response.json == {"matched": 2, "changed": 2}
    rows = conn.execute("SELECT id, active, expires_at, tags FROM qr_codes")
    assert {row[0]: row[1:] for row in rows} == {
        first: (False, None, ["keep", "new"]),
        second: (False, None, ["new"]),
        kept: (True, None, ["old"]),
    }
    expected = {"codes": 2, "set": {"active": False, "expires_at": None}, "add_tags": ["new"], "remove_tags": ["old"]}
    assert entries(conn, staff) == [("codes.changed", expected)]
    assert change(client, staff, ids=[str(first)], add_tags=["new"]).json == {"matched": 1, "changed": 0}
    assert len(entries(conn, staff)) == 1


def test_a_filter_selects_as_the_list_does(client: Any, conn: Conn, staff: Staff) -> None:
    for n in range(3):
        make_code(conn, staff.org_id, code=f"gate-{n}", tags=["summer"], active=n > 0)
    make_code(conn, staff.org_id, code="other", tags=["winter"])
    make_code(conn, make_org(conn), code="gate-foreign", tags=["summer"])

    conditions = {"q": "GATE", "tag": "summer", "active": True, "scan_type": "item_drop"}
    body = {"filter": conditions, "set": {"active": False}}
    refused = change(client, staff, **body, expected=3)
    assert (refused.status_code, "2 codes, not 3" in refused.json["detail"]) == (409, True)
    assert change(client, staff, **body, expected=2).json == {"matched": 2, "changed": 2}
    assert change(client, staff, filter={}, expected=4, add_tags=["all"]).json == {"matched": 4, "changed": 4}
    assert delete(client, staff, filter={"tag": "summer"}, expected=3).json == {"deleted": 3}
    assert [code for (code,) in conn.execute("SELECT code FROM qr_codes WHERE deleted_at IS NULL ORDER BY code")] == [
        "gate-foreign",
        "other",
    ]
    assert exactly_one(conn.execute("SELECT codes FROM organization_usage WHERE org_id = %s", (staff.org_id,))) == (1,)
    assert entries(conn, staff)[-1] == ("codes.deleted", {"codes": 3, "filter": {"tag": "summer"}})


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"set": {"active": True}}, "body"),
        ({"ids": ["0197a6b0-0000-7000-8000-000000000002"], "filter": {}, "expected": 1}, "body"),
        ({"filter": {}}, "body"),
        ({"filter": {}, "expected": 10_001}, "body.expected"),
        ({"ids": []}, "body.ids"),
        ({"ids": [str(uuid4())] * 1_001}, "body.ids"),
        ({"ids": ["x"]}, "body.ids.0"),
        ({"filter": {"tags": "x"}, "expected": 1}, "body.filter.tags"),
        ({"filter": {}, "expected": 1, "set": {"code": "x"}}, "body.set.code"),
        ({"filter": {}, "expected": 1, "set": {"active": None}}, "body.set.active"),
        ({"filter": {}, "expected": 1, "add_tags": ["a|b"]}, "body.add_tags.0"),
        ({"filter": {}, "expected": 1, "add_tags": ["a"], "remove_tags": ["a"]}, "body"),
    ],
)
def test_malformed_selections_are_rejected(client: Any, staff: Staff, body: Any, loc: str) -> None:
    response = change(client, staff, **body)
    assert (response.status_code, response.json["errors"][0]["loc"]) == (422, loc)


def test_a_request_without_a_body_is_415(client: Any, staff: Staff) -> None:
    assert client.patch(staff.codes, headers=staff.admin.headers).status_code == 415
    assert client.delete(staff.codes, headers=staff.admin.headers).status_code == 415


@pytest.mark.parametrize(
    ("fields", "changes", "loc", "words"),
    [
        (
            {"starts_at": "2030-01-01Z"},
            {"set": {"expires_at": "2029-01-01T00:00:00Z"}},
            "body.set.expires_at",
            "starts",
        ),
        ({"tags": [f"t{n}" for n in range(50)]}, {"add_tags": ["more"]}, "body.add_tags", "at most 50"),
    ],
)
def test_the_first_code_that_would_become_invalid_is_named(
    client: Any, conn: Conn, staff: Staff, fields: Any, changes: Any, loc: str, words: str
) -> None:
    ids = [make_code(conn, staff.org_id, code="fine")]
    ids += [make_code(conn, staff.org_id, code=f"bad-{n}", **fields) for n in range(2)]
    before = state(conn)

    response = change(client, staff, ids=[str(qr_id) for qr_id in reversed(ids)], **changes)

    (error,) = response.json["errors"]
    assert (response.status_code, error["loc"]) == (422, loc)
    assert code_text(conn, min(ids[1:])) in error["message"]
    assert words in error["message"]
    assert state(conn) == before
    assert entries(conn, staff) == []


@pytest.mark.parametrize("send", [change, delete])
def test_an_id_of_another_organization_changes_nothing(client: Any, conn: Conn, staff: Staff, send: Any) -> None:
    own, foreign = make_code(conn, staff.org_id), make_code(conn)
    before = state(conn)

    for other in (foreign, uuid4()):
        assert send(client, staff, ids=[str(own), str(other)]).status_code == 404
    assert state(conn) == before
    assert send(client, staff, ids=[str(own)], expected=2).status_code == 409


def test_destinations_are_deleted_with_the_codes_that_lead_to_them_only(client: Any, conn: Conn, staff: Staff) -> None:
    gate, other = make_code(conn, staff.org_id, code="gate"), make_code(conn, staff.org_id)
    lift = make_code(conn, staff.org_id, code="lift", destination_code="gate")
    before = state(conn)

    refused = delete(client, staff, ids=[str(gate), str(other)])

    assert (refused.status_code, "destination of lift." in refused.json["detail"]) == (409, True)
    assert state(conn) == before
    assert delete(client, staff, ids=[str(gate), str(lift)]).json == {"deleted": 2}


def test_up_to_ten_thousand_codes_are_changed(client: Any, conn: Conn, staff: Staff) -> None:
    conn.execute(
        """
        INSERT INTO qr_codes (org_id, code, scan_type)
        SELECT %s, 'c-' || n, 'item_drop' FROM generate_series(1, 10001) n
        """,
        (staff.org_id,),
    )
    refused = change(client, staff, filter={}, expected=10_000, set={"active": False})
    assert (refused.status_code, "more than 10,000" in refused.json["detail"]) == (409, True)

    conn.execute("DELETE FROM qr_codes WHERE code = 'c-10001'")
    assert change(client, staff, filter={}, expected=10_000, set={"active": False}).json["changed"] == 10_000
    assert delete(client, staff, filter={"active": False}, expected=10_000).json == {"deleted": 10_000}


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_a_code_that_stops_matching_meanwhile_is_not_deleted(
    app: Flask, conn: Conn, staff: Staff, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = make_code(conn, staff.org_id, tags=["old"])
    make_code(conn, staff.org_id, tags=["old"])
    if not guarded:
        ids = [row[0] for row in conn.execute("SELECT id FROM qr_codes ORDER BY id")]
        monkeypatch.setattr(selection, "_matching_ids", lambda *_: ids)

    with ThreadPoolExecutor(1) as thread:
        with db.transaction() as own:
            own.execute("UPDATE qr_codes SET tags = '{}' WHERE id = %s", (kept,))
            request = thread.submit(delete, app.test_client(), staff, filter={"tag": "old"}, expected=2)
            wait_until_blocked(conn)
        response = request.result()

    remaining: set[UUID] = {row[0] for row in conn.execute("SELECT id FROM qr_codes WHERE deleted_at IS NULL")}
    assert (response.status_code == 409) is guarded
    assert (kept in remaining) is guarded
