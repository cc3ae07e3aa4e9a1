"""Label templates of an organization: their rules, their routes, and the sheet that tests a printer."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import pypdfium2  # type: ignore[import-untyped]
import pytest
import zxingcpp
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.images.code_url import code_url
from shared.infra.db import Conn
from shared.renders import label_template_store as store
from shared.renders.alignment_sheet import render_sheet
from shared.renders.label_templates import TEMPLATES, LabelTemplate, find_misplaced
from tests.renders.factories import add_render, read_file, work
from tests.support.callers import Staff, make_key, make_staff
from tests.support.factories import code_text, make_code

DPI = 600
PIXELS, MM = DPI / 25.4, 72 / 25.4
WINE: dict[str, Any] = {
    "name": "Wine labels",
    "page_width_mm": 210,
    "page_height_mm": 297,
    "left_margin_mm": 8,
    "top_margin_mm": 13.5,
    "columns": 4,
    "rows": 6,
    "label_width_mm": 45.7,
    "label_height_mm": 45,
    "column_pitch_mm": 48.7,
    "row_pitch_mm": 45,
}
SHEET = LabelTemplate(**{name: value for name, value in WINE.items() if name != "name"})
ONE_LABEL: dict[str, Any] = {"columns": 1, "rows": 1, "column_pitch_mm": 0, "row_pitch_mm": 0}
ROLL: dict[str, Any] = ONE_LABEL | {
    "page_width_mm": 62,
    "page_height_mm": 29,
    "left_margin_mm": 0,
    "top_margin_mm": 0,
    "label_width_mm": 62,
    "label_height_mm": 29,
}


@pytest.fixture
def path(staff: Staff) -> str:
    return f"{staff.path}/label-templates"


@pytest.fixture
def send(client: Any, staff: Staff) -> Callable[..., Any]:
    """Send a request as an admin: `send("PUT", path, **fields)`."""

    def request(method: str, path: str, **body: Any) -> Any:
        return client.open(path, method=method, json=body or None, headers=staff.admin.headers)

    return request


# Rules ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, None),
        ({"left_margin_mm": 18.2}, None),  # the last label ends at 210 mm
        ({"left_margin_mm": 18.3}, "page_width_mm"),
        ({"top_margin_mm": 27.1}, "page_height_mm"),
        ({"column_pitch_mm": 45.6}, "column_pitch_mm"),
        ({"row_pitch_mm": 44.9}, "row_pitch_mm"),
        ({"columns": 1, "column_pitch_mm": 0.0}, None),  # of one column, the pitch has no effect
        ({"rows": 1, "row_pitch_mm": 0.0}, None),
        ({"page_width_mm": 500.0, "columns": 10, "page_height_mm": 480.0, "rows": 10}, None),
        ({"columns": 21, "rows": 10}, "rows"),
    ],
    ids=str,
)
def test_labels_lie_on_the_page_and_apart(changes: dict[str, Any], field: str | None) -> None:
    errors = find_misplaced(replace(SHEET, **changes))

    assert [error.loc for error in errors][:1] == ([f"body.{field}"] if field else [])


SHEETS = st.builds(
    LabelTemplate,
    **{
        name: st.integers(1, 6) if name in ("columns", "rows") else st.floats(10, 120)
        for name in LabelTemplate.__annotations__
    },
)


@given(SHEETS)
def test_accepted_labels_never_overlap_or_leave_the_page(sheet: LabelTemplate) -> None:
    corners = [sheet.corner(index) for index in range(sheet.per_page)]
    width, height = sheet.label
    slack = 0.02
    on_page = all(
        x + width <= sheet.page_width_mm + slack and y + height <= sheet.page_height_mm + slack for x, y in corners
    )
    apart = all(
        abs(x - a) >= width - slack or abs(y - b) >= height - slack
        for index, (x, y) in enumerate(corners)
        for a, b in corners[:index]
    )
    assert find_misplaced(sheet) or (on_page and apart)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("left_margin_mm = 19", "label_templates_on_page"),
        ("row_pitch_mm = 'NaN'", "label_templates_on_page"),
        ("row_pitch_mm = 44", "label_templates_apart"),
        ("columns = 8", "label_templates_on_page"),
        ("name = 'Other'", "label_templates_name_key"),
    ],
)
def test_the_table_accepts_no_impossible_sheet(conn: Conn, staff: Staff, change: str, constraint: str) -> None:
    store.add(conn, staff.org_id, "Other", SHEET)
    template_id = store.add(conn, staff.org_id, "Wine labels", SHEET)

    with pytest.raises(psycopg.errors.IntegrityError) as error:
        conn.execute(f"UPDATE label_templates SET {change} WHERE id = '{template_id}'")

    assert error.value.diag.constraint_name == constraint


# Routes ---------------------------------------------------------------------------------------------------------------


def test_a_template_from_creation_to_deletion(send: Callable[..., Any], path: str) -> None:
    created = send("POST", path, **WINE)
    url = f"{path}/{created.json['id']}"

    assert created.status_code == 201
    assert WINE.items() <= created.json.items()
    assert {"built_in": False, "product": None, "labels": 24}.items() <= created.json.items()
    assert send("GET", url).json == created.json
    listed = send("GET", path).json
    assert [item["id"] for item in listed["items"]] == [*TEMPLATES, created.json["id"]]
    assert {"built_in": True, "product": "Avery Zweckform 3475", "labels": 24}.items() <= listed["items"][0].items()
    assert listed["next_cursor"] is None
    changed = send("PUT", url, **WINE | ROLL | {"name": "Roll"})
    assert (changed.status_code, changed.json["name"], changed.json["labels"]) == (200, "Roll", 1)
    assert send("GET", f"{path}/Roll").json == changed.json
    assert send("DELETE", url).status_code == 204
    assert send("DELETE", url).status_code == send("GET", url).status_code == 404


@pytest.mark.parametrize(
    ("fields", "loc", "message"),
    [
        ({"left_margin_mm": 19}, "body.page_width_mm", "210.8"),
        ({"row_pitch_mm": 44}, "body.row_pitch_mm", "at least 45"),
        ({"columns": 0}, "body.columns", "from 1 to 200"),
        ({"rows": 51}, "body.rows", "204"),
        ({"label_width_mm": 9}, "body.label_width_mm", "10"),
        ({"page_width_mm": 501}, "body.page_width_mm", "500"),
        ({"left_margin_mm": -1}, "body.left_margin_mm", "0"),
        ({"page_height_mm": "297"}, "body.page_height_mm", "number"),
        ({"name": " "}, "body.name", "not only blanks"),
        ({"paper": "A4"}, "body.paper", ""),
    ],
    ids=str,
)
def test_an_invalid_measure_is_named(
    send: Callable[..., Any], path: str, fields: dict[str, Any], loc: str, message: str
) -> None:
    response = send("POST", path, **WINE | fields)

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == loc
    assert message in response.json["errors"][0]["message"]
    assert len(send("GET", path).json["items"]) == len(TEMPLATES)


def test_names_are_unique_in_an_organization(
    app: Flask, client: Any, conn: Conn, send: Callable[..., Any], path: str
) -> None:
    other = make_staff(app, conn)
    first = send("POST", path, **WINE).json
    second = send("POST", path, **WINE | {"name": "Beer"}).json

    assert send("POST", path, **WINE).status_code == 409
    assert send("PUT", f"{path}/{second['id']}", **WINE).status_code == 409
    assert send("POST", path, **WINE | {"name": "a4-3x8"}).status_code == 409
    assert send("PUT", f"{path}/{first['id']}", **WINE).status_code == 200
    elsewhere = client.post(f"{other.path}/label-templates", json=WINE, headers=other.admin.headers)
    assert elsewhere.status_code == 201


def test_a_built_in_template_cannot_be_changed(send: Callable[..., Any], path: str) -> None:
    for method, body in (("PUT", WINE), ("DELETE", {})):
        response = send(method, f"{path}/a4-3x8", **body)
        assert response.status_code == 409
        assert "built-in" in response.json["detail"]


def test_an_organization_has_at_most_100_templates(
    send: Callable[..., Any], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_TEMPLATES", 1)

    assert send("POST", path, **WINE).status_code == 201
    assert send("POST", path, **WINE | {"name": "Beer"}).status_code == 409


def test_a_template_of_another_organization_is_not_found(
    app: Flask, client: Any, conn: Conn, staff: Staff, send: Callable[..., Any], path: str
) -> None:
    make_code(conn, staff.org_id)
    other = make_staff(app, conn)
    theirs = str(store.add(conn, other.org_id, "Theirs", SHEET))

    for text in (theirs, "Theirs"):
        assert send("GET", f"{path}/{text}").status_code == 404
        assert send("PUT", f"{path}/{text}", **WINE).status_code == 404
        assert send("DELETE", f"{path}/{text}").status_code == 404
        assert send("GET", f"{path}/{text}/test-sheet.pdf").status_code == 404
        body = {"all": True, "output": "label_sheet", "label": {"template": text}}
        response = send("POST", f"{staff.path}/renders", **body)
        assert (response.status_code, response.json["errors"][0]["loc"]) == (422, "body.label.template")
    assert len(store.list_for_organization(conn, other.org_id)) == 1


def test_a_key_for_renders_reads_templates_only(client: Any, conn: Conn, staff: Staff, path: str) -> None:
    key = make_key(conn, staff.org_id, "renders")

    assert client.get(path, headers=key.headers).status_code == 200
    assert client.post(path, json=WINE, headers=key.headers).status_code == 403


# Renders --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["id", "name"])
def test_a_render_keeps_the_template_that_it_was_requested_with(
    conn: Conn, staff: Staff, send: Callable[..., Any], path: str, by: str
) -> None:
    codes = sorted(make_code(conn, staff.org_id) for _ in range(25))
    template = send("POST", path, **WINE).json
    label = {"template": template[by], "caption": "none", "start_at": 24}
    render = send("POST", f"{staff.path}/renders", all=True, output="label_sheet", label=label).json
    assert render["label"] == label | {"template": "Wine labels"}
    send("PUT", f"{path}/{template['id']}", **WINE | ROLL)
    send("DELETE", f"{path}/{template['id']}")

    work()

    data = read_file(conn, UUID(render["render_id"]))
    first, second = pages(data)
    texts = [code_url(code_text(conn, code)) for code in codes]
    assert [symbol_at(first, index) for index in (0, 22, 23)] == [None, None, texts[0]]
    assert [symbol_at(second, index) for index in range(24)] == texts[1:]


def symbol_at(page: NDArray[np.uint8], index: int) -> str | None:
    left, top, width, height = (round(length * PIXELS) for length in (*SHEET.corner(index), *SHEET.label))
    barcode = zxingcpp.read_barcode(page[top : top + height, left : left + width])
    return None if barcode is None else barcode.text


def pages(data: bytes) -> list[NDArray[np.uint8]]:
    with pypdfium2.PdfDocument(data) as document:
        bitmaps = [page.render(scale=DPI / 72, grayscale=True) for page in document]
        return [bitmap.to_numpy().reshape(bitmap.height, bitmap.width).copy() for bitmap in bitmaps]


@pytest.mark.parametrize(
    ("width", "height", "is_below"),
    [(45.7, 45, True), (40, 60, True), (60, 40, False), (62, 29, False), (20, 20, True)],
)
@pytest.mark.parametrize("description", ["Bodega", "word " * 300])
def test_a_caption_stays_on_its_label(
    conn: Conn, staff: Staff, width: float, height: float, is_below: bool, description: str
) -> None:
    """Beside the symbol where there is room, else below it."""
    page = {"page_width_mm": width + 20, "page_height_mm": height + 20, "left_margin_mm": 10, "top_margin_mm": 10}
    sheet = LabelTemplate(**ONE_LABEL | page | {"label_width_mm": width, "label_height_mm": height})
    code = make_code(conn, staff.org_id, description=description)
    render_id = add_render(
        conn, staff.org_id, [code], output="label_sheet", template="t", sheet=sheet, caption="description"
    )
    work()

    data = read_file(conn, render_id)
    (bitmap,) = pages(data)
    outside = bitmap.copy()
    inner = [slice(round(9.5 * PIXELS), round((10.5 + side) * PIXELS)) for side in (height, width)]
    outside[inner[0], inner[1]] = 255
    assert (outside > 128).mean() > 0.9999, "nothing but cut marks is outside of the label"
    (barcode,) = zxingcpp.read_barcodes(bitmap)
    with pypdfium2.PdfDocument(data) as document:
        content = document[0].get_textpage()
        left, bottom, _, top = content.get_charbox(0)
    assert (sheet.page_height_mm - top / MM > barcode.position.bottom_left.y / PIXELS) is is_below
    assert 10 <= left / MM <= 10 + width
    assert 10 <= bottom / MM <= 10 + height


# Test sheets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sheet", [*TEMPLATES.values(), SHEET, LabelTemplate(**ROLL)], ids=[*TEMPLATES, "wine", "roll"])
def test_every_outline_is_in_its_place_to_a_tenth_of_a_millimeter(sheet: LabelTemplate) -> None:
    (page,) = pages(render_sheet("Test", sheet))

    assert page.shape == tuple(pytest.approx(length * PIXELS, abs=1.5) for length in reversed(sheet.page))
    height, width = page.shape
    dark = page < 200
    for index in range(sheet.per_page):
        (left, top), (across, down) = sheet.corner(index), sheet.label
        for x in (left, left + across):
            column = dark[round((top + 2) * PIXELS) : round((top + down - 2) * PIXELS), near(x, width)]
            assert column.any(axis=1).mean() > 0.99
        for y in (top, top + down):
            row = dark[near(y, height), round((left + 2) * PIXELS) : round((left + across - 2) * PIXELS)]
            assert row.any(axis=0).mean() > 0.99


def near(at: float, end: int) -> slice:
    return slice(max(0, round((at - 0.1) * PIXELS)), min(end, round((at + 0.1) * PIXELS) + 1))


def test_the_test_sheet_states_its_scale(client: Any, staff: Staff, send: Callable[..., Any], path: str) -> None:
    template = send("POST", path, **WINE | {"name": "Größe (1) \\ 2"}).json

    response = client.get(template["test_sheet_url"], headers=staff.admin.headers)

    assert (response.status_code, response.content_type) == (200, "application/pdf")
    with pypdfium2.PdfDocument(response.data) as document:
        assert len(document) == 1
        assert not pypdfium2.raw.FPDF_VIEWERREF_GetPrintScaling(document)
        text = document[0].get_textpage().get_text_bounded()
    assert "Print at 100 %" in text
    assert "Gr??e (1) \\ 2" in text
