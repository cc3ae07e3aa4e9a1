"""Codes written to a file, and the same codes read from it."""

import csv
from io import StringIO
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.codes import store
from shared.imports import csv_cells
from shared.infra.db import Conn
from tests.codes.factories import PUZZLE, create
from tests.imports.factories import bulk, export, left, stored, upload
from tests.imports.sample_codes import BODIES
from tests.support.callers import Staff, make_staff
from tests.support.factories import make_code, make_org
from web.api import imports
from web.http import file_responses


def read(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(answer.data.decode(), newline="")))


def codes(client: Any, staff: Staff) -> dict[str, Any]:
    """Every code of an organization by its text, without what import gives anew."""
    answer = client.get(f"{staff.codes}?limit=200", headers=staff.admin.headers)
    found = {}
    for code in answer.json["items"]:
        for name in ("id", "created_at", "updated_at", "image_url"):
            del code[name]
        if code["encounter"]:
            del code["encounter"]["id"]
        found[code["code"]] = code
    return found


def test_export_has_one_row_per_code_oldest_first(
    client: Any, conn: Conn, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "PAGE_SIZE", 3)
    made = [create(client, staff).json["code"] for _ in range(7)]
    make_code(conn, make_org(conn))

    answer = export(client, staff)

    assert [row["code"] for row in read(answer)] == made
    assert answer.content_type == "text/csv; charset=utf-8"
    slug = conn.execute("SELECT slug FROM organizations WHERE id = %s", (staff.org_id,)).fetchone()
    assert slug is not None
    assert answer.headers["Content-Disposition"] == f'attachment; filename="qr-codes-{slug[0]}.csv"'


def test_export_without_codes_is_a_header(client: Any, staff: Staff) -> None:
    assert export(client, staff).data.decode() == ",".join(csv_cells.COLUMNS) + "\r\n"


def test_export_is_streamed_without_a_connection(client: Any, staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "PAGE_SIZE", 2)
    for _ in range(5):
        create(client, staff)
    pages = []
    oldest_first = store.list_range

    def note(*args: Any, **kwargs: Any) -> Any:
        pages.append(kwargs["after"])
        return oldest_first(*args, **kwargs)

    monkeypatch.setattr(store, "list_range", note)
    answer = client.get(f"{staff.codes}/export", headers=staff.admin.headers, buffered=False)
    pieces = iter(answer.response)
    first = next(pieces)

    assert first.count(b"\r\n") == 3
    assert len(pages) == 1
    create(client, staff)  # later than the export
    assert sum(piece.count(b"\r\n") for piece in pieces) == 3
    assert len(set(pages)) == 3


def test_concurrent_exports_are_limited(client: Any, staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(client.application.extensions, file_responses.SLOTS, file_responses.slots(1))
    held = client.get(f"{staff.codes}/export", headers=staff.admin.headers, buffered=False)

    refused = export(client, staff)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    held.close()
    assert [export(client, staff).text.count("\r\n") for _ in range(2)] == [1, 1]


def test_export_includes_codes_with_future_ids(client: Any, conn: Conn, staff: Staff) -> None:
    """As gen_random_uuid() gives them."""
    made = [create(client, staff).json["code"] for _ in range(2)]
    conn.execute(
        "UPDATE qr_codes SET id = 'ffffffff-ffff-4fff-bfff-ffffffffffff' WHERE org_id = %s AND code = %s",
        (staff.org_id, made[0]),
    )

    assert [row["code"] for row in read(export(client, staff))] == made[::-1]


def test_export_omits_deleted_destinations(app: Flask, client: Any, conn: Conn, staff: Staff) -> None:
    """Also one that another organization has since."""
    for code, to in (("gone", None), ("kept", None), ("lost", "gone"), ("found", "kept")):
        assert create(client, staff, code=code, destination_code=to).status_code == 201
    conn.execute("UPDATE qr_codes SET deleted_at = now() WHERE code = 'gone'")
    make_code(conn, make_org(conn), code="gone")

    exported = export(client, staff)

    assert [row["destination_code"] for row in read(exported)] == ["", "", "kept"]
    conn.execute("UPDATE qr_codes SET deleted_at = now()")
    assert upload(client, make_staff(app, conn), exported.data).status_code == 201


def test_the_largest_puzzle_survives_a_round_trip(app: Flask, client: Any, conn: Conn, staff: Staff) -> None:
    """Its quotes are doubled in the file."""
    puzzle = PUZZLE | {"data": {"letters": [""] * 250_000}}
    made = create(client, staff, scan_type="encounter", encounter=puzzle)
    assert made.status_code == 201, made.text
    exported = export(client, staff)
    conn.execute("UPDATE qr_codes SET deleted_at = now()")

    assert upload(client, make_staff(app, conn), exported.data).status_code == 201


@pytest.mark.parametrize(("role", "told"), [("owner", True), ("admin", True), ("analyst", False)])
def test_only_admins_export_solutions(client: Any, staff: Staff, role: str, told: bool) -> None:
    create(client, staff, scan_type="encounter", encounter=PUZZLE)

    answer = export(client, staff, by=staff[role])

    assert ("open sesame" in answer.text) is told
    assert ("encounter_solution" in answer.text) is told
    assert read(answer)[0]["encounter_puzzle_type"] == "decryption"


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


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(bodies=st.lists(BODIES, max_size=6, unique_by=lambda body: body["code"]), leads=st.booleans())
def test_exported_codes_are_imported_unchanged(
    app: Flask, client: Any, conn: Conn, staff: Staff, bodies: list[dict[str, Any]], leads: bool
) -> None:
    """Once the first ones are deleted; by another organization."""
    if leads and len(bodies) > 1:
        bodies = [body | {"destination_code": bodies[k - 1]["code"]} for k, body in enumerate(bodies)]
    other = make_staff(app, conn)
    try:
        made = bulk(client, staff, *bodies)
        assert made.status_code == 201, made.text
        before = codes(client, staff)
        exported = export(client, staff).data
        conn.execute("UPDATE qr_codes SET deleted_at = now()")

        answer = upload(client, other, exported)

        assert answer.status_code == 201, answer.text
        assert codes(client, other) == before
        assert list(codes(client, other)) == list(before), "in the same order"
        assert export(client, other).data == exported
    finally:
        conn.execute("UPDATE qr_codes SET deleted_at = now()")
    assert stored(conn) == set()
    assert left(conn) == 0
