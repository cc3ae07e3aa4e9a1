"""Export codes to a file, and import the same codes from it."""

import csv
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.codes import export as code_export
from shared.imports import csv_cells, export_rows
from shared.infra.db import Conn
from tests.codes.factories import PUZZLE, create, update
from tests.imports.factories import bulk, erase_codes, export, staged_rows, stored, upload
from tests.imports.sample_codes import BODIES
from tests.support.callers import Staff, make_staff
from tests.support.factories import make_code, make_org
from web.http import file_responses


def read(response: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(response.data.decode(), newline="")))


def codes(client: Any, staff: Staff) -> dict[str, Any]:
    """Return the codes of an organization by their text, without the fields that an import sets anew."""
    response = client.get(f"{staff.codes}?limit=200", headers=staff.admin.headers)
    codes_by_text = {}
    for code in response.json["items"]:
        for name in ("id", "created_at", "updated_at", "image_url"):
            del code[name]
        if code["encounter"]:
            del code["encounter"]["id"]
        codes_by_text[code["code"]] = code
    return codes_by_text


def test_export_has_one_row_per_code_oldest_first(
    client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_rows, "PAGE_SIZE", 3)
    created = [create(client, staff).json["code"] for _ in range(7)]
    make_code(conn, make_org(conn))

    response = export(client, staff)

    assert [row["code"] for row in read(response)] == created
    assert response.content_type == "text/csv; charset=utf-8; header=present"
    slug = conn.execute("SELECT slug FROM organizations WHERE id = %s", (staff.org_id,)).fetchone()
    assert slug is not None
    assert response.headers["Content-Disposition"] == f'attachment; filename="qr-codes-{slug[0]}.csv"'


def test_export_without_codes_is_a_header(client: Any, staff: Staff) -> None:
    assert export(client, staff).data.decode() == ",".join(csv_cells.COLUMNS) + "\r\n"


def test_export_is_streamed_without_a_connection(client: Any, staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_rows, "PAGE_SIZE", 2)
    for _ in range(5):
        create(client, staff)
    queried = []
    list_range = code_export.list_range

    def record(*args: Any, **kwargs: Any) -> Any:
        queried.append(kwargs["after"])
        return list_range(*args, **kwargs)

    monkeypatch.setattr(code_export, "list_range", record)
    response = client.get(f"{staff.codes}/export", headers=staff.admin.headers, buffered=False)
    pages = iter(response.response)
    first = next(pages)

    assert first.count(b"\r\n") == 3
    assert len(queried) == 1
    create(client, staff)
    assert sum(page.count(b"\r\n") for page in pages) == 3
    assert len(set(queried)) == 3


def test_concurrent_exports_are_limited(client: Any, staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(client.application.extensions, file_responses.SLOTS, file_responses.slots(1))
    held = client.get(f"{staff.codes}/export", headers=staff.admin.headers, buffered=False)

    rejected = export(client, staff)

    assert (rejected.status_code, rejected.headers["Retry-After"]) == (503, "2")
    held.close()
    assert [export(client, staff).text.count("\r\n") for _ in range(2)] == [1, 1]


def test_export_includes_codes_with_future_ids(client: Any, conn: Conn, staff: Staff) -> None:
    """As ids of gen_random_uuid() are."""
    make_code(conn, staff.org_id, code="future", id=UUID("ffffffff-ffff-4fff-bfff-ffffffffffff"))
    make_code(conn, staff.org_id, code="newest")

    assert [row["code"] for row in read(export(client, staff))] == ["newest", "future"]


def test_export_omits_destinations_that_it_does_not_contain(
    app: Flask, client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code, to in (("kept", None), ("found", "kept"), ("lost", None)):
        assert create(client, staff, code=code, destination_code=to).status_code == 201
    newest = code_export.max_id(conn, staff.org_id)
    assert create(client, staff, code="newer").status_code == 201
    assert update(client, staff, str(newest), destination_code="newer").status_code == 200
    monkeypatch.setattr(code_export, "max_id", lambda *_: newest)

    exported = export(client, staff)

    assert [row["destination_code"] for row in read(exported)] == ["", "kept", ""]
    erase_codes(conn)
    assert upload(client, make_staff(app, conn), exported.data).status_code == 201


def test_an_export_above_ten_mebibytes_can_be_imported(client: Any, conn: Conn, staff: Staff) -> None:
    conn.execute(
        """
        INSERT INTO qr_codes (org_id, code, scan_type, description)
        SELECT %s, 'c-' || n, 'item_drop', repeat('äöü', 600) FROM generate_series(1, 3000) n
        """,
        (staff.org_id,),
    )
    exported = export(client, staff).data
    assert len(exported) > 10 * 2**20

    response = upload(client, staff, exported.replace(b"c-", b"d-"))
    assert (response.status_code, response.json["total"]) == (202, 3_000)


def test_the_largest_puzzle_survives_a_round_trip(app: Flask, client: Any, conn: Conn, staff: Staff) -> None:
    """The file doubles its quotes."""
    puzzle = PUZZLE | {"data": {"letters": [""] * 4_090}}
    created = create(client, staff, scan_type="encounter", encounter=puzzle)
    assert created.status_code == 201, created.text
    exported = export(client, staff)
    puzzle["data"]["letters"].append("A letter too many")
    refused = create(client, staff, scan_type="encounter", encounter=puzzle)
    assert (refused.status_code, refused.json["errors"]) == (
        422,
        [{"loc": "body.encounter.data", "message": "Use at most 16,384 bytes as JSON. These are 16,394."}],
    )
    erase_codes(conn)

    assert upload(client, make_staff(app, conn), exported.data).status_code == 201


@pytest.mark.parametrize(("role", "has_solutions"), [("owner", True), ("admin", True), ("analyst", False)])
def test_only_admins_export_solutions(client: Any, staff: Staff, role: str, has_solutions: bool) -> None:
    create(client, staff, scan_type="encounter", encounter=PUZZLE)

    response = export(client, staff, by=staff[role])

    assert ("open sesame" in response.text) is has_solutions
    assert ("encounter_solution" in response.text) is has_solutions
    assert read(response)[0]["encounter_puzzle_type"] == "decryption"


def test_exported_formulas_are_escaped(client: Any, staff: Staff) -> None:
    for start in ("=", "+", "-", "@", "\t", "\r"):
        text = f"{start}cmd|' /C calc'!A0"
        create(
            client,
            staff,
            description=text,
            reward={"item": text.strip() or "x", "quantity": 1},
            latitude=-4.5,
            longitude=-1,
        )
    create(client, staff, code="-dash", tags=["=x"], encounter=PUZZLE | {"solution": "@x", "data": {"a": "=x"}})

    for row in read(export(client, staff)):
        formulas = {name: cell for name, cell in row.items() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))}
        assert set(formulas) <= {"latitude", "longitude"}
        assert set(formulas.values()) <= {"-4.5", "-1.0"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(BODIES, max_size=6, unique_by=lambda body: body["code"]), leads=st.booleans())
def test_exported_codes_are_imported_unchanged(
    app: Flask, client: Any, conn: Conn, staff: Staff, bodies: list[dict[str, Any]], leads: bool
) -> None:
    """By an organization of another installation."""
    if leads and len(bodies) > 1:
        bodies = [body | {"destination_code": bodies[k - 1]["code"]} for k, body in enumerate(bodies)]
    other = make_staff(app, conn)
    try:
        created = bulk(client, staff, *bodies)
        assert created.status_code == 201, created.text
        before = codes(client, staff)
        exported = export(client, staff).data
        erase_codes(conn)

        response = upload(client, other, exported)

        assert response.status_code == 201, response.text
        assert codes(client, other) == before
        assert list(codes(client, other)) == list(before), "in the same order"
        assert export(client, other).data == exported
    finally:
        erase_codes(conn)
    assert stored(conn) == set()
    assert staged_rows(conn) == 0
