"""Label sheets: the position of every label to a tenth of a millimeter, its text, and what fails by itself."""

from io import BytesIO
from typing import Any
from uuid import UUID

import numpy as np
import pypdfium2  # type: ignore[import-untyped]
import pytest
import zxingcpp
from numpy.typing import NDArray

from shared.images.code_url import code_url
from shared.images.layout import QUIET_ZONE
from shared.images.symbol import encode
from shared.infra.db import Conn
from shared.renders import chunk_codes, rules, store, zip_part
from shared.renders.label_templates import TEMPLATES, LabelTemplate, find_misplaced
from tests.images.sample_images import LOGO
from tests.renders.factories import add_render, customize, expire_leases, find, list_files, make_codes, read_file, work
from tests.support.factories import code_text, make_code

QR = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
DPI = 600
PIXELS = DPI / 25.4
"""Per millimeter."""


def pages(data: bytes, dpi: float = DPI) -> list[NDArray[np.uint8]]:
    """Rasterize each page."""
    bitmaps = []
    with pypdfium2.PdfDocument(data) as document:
        for page in document:
            bitmap = page.render(scale=dpi / 72, grayscale=True)
            bitmaps.append(bitmap.to_numpy().reshape(bitmap.height, bitmap.width).copy())
    return bitmaps


def label(page: NDArray[np.uint8], template: LabelTemplate, index: int) -> NDArray[np.uint8]:
    """Return the pixels of one label."""
    x, y = (round(length * PIXELS) for length in template.corner(index))
    width, height = (round(length * PIXELS) for length in template.label)
    return page[max(y, 0) : y + height, max(x, 0) : x + width]


def sheet(conn: Conn, org: UUID, codes: list[UUID], template: str, **fields: Any) -> bytes:
    render_id = add_render(
        conn, org, codes, **{"output": "label_sheet", "template": template, "caption": "code"} | fields
    )
    work()
    return read_file(conn, render_id)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_fits_its_page_and_labels_do_not_overlap(name: str) -> None:
    template = TEMPLATES[name]
    paper, columns_by_rows = name.split("-")
    assert columns_by_rows == f"{template.columns}x{template.rows}"
    assert template.page == pytest.approx({"a4": (210.0, 297.0), "letter": (215.9, 279.4)}[paper])
    assert min(template.left_margin_mm, template.top_margin_mm) >= 0
    assert find_misplaced(template) == []


def test_margins_match_the_manufacturers_figures() -> None:
    expected = {"a4-3x8": (0, 4.5), "a4-2x7": (4.65, 15.15), "a4-3x7": (7.21, 15.15), "a4-5x13": (4.75, 10.7)}
    expected |= {"letter-3x10": (4.7625, 12.7), "letter-2x5": (3.96875, 12.7)}
    for name, margin in expected.items():
        assert TEMPLATES[name].corner(0) == pytest.approx(margin, abs=0.01)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_label_is_in_its_position_and_readable(conn: Conn, org: UUID, name: str) -> None:
    template = TEMPLATES[name]
    codes = make_codes(conn, org, template.per_page)

    (page,) = pages(sheet(conn, org, codes, name))

    assert page.shape == tuple(pytest.approx(length * PIXELS, abs=1.5) for length in reversed(template.page))
    for index, code in enumerate(codes):
        text = code_url(code_text(conn, code))
        pixels = label(page, template, index)
        (barcode,) = zxingcpp.read_barcodes(pixels, formats=QR)
        assert barcode.text == text
        modules = len(encode(text, "M"))
        side = min(template.label) - 2
        module = side / (modules + 2 * QUIET_ZONE)
        start = 1 + QUIET_ZONE * module, (template.label[1] - side) / 2 + QUIET_ZONE * module
        left, top, right, bottom = box(pixels, start, modules * module)
        assert (left, top) == pytest.approx(start, abs=0.1)
        assert (right - left, bottom - top) == pytest.approx((modules * module,) * 2, abs=0.1)


def box(pixels: NDArray[np.uint8], start: tuple[float, float], side: float) -> tuple[float, ...]:
    """Return left, top, right, bottom of the dark pixels in and just around the symbol, in millimeters."""
    x, y = (max(0, round((at - 0.5) * PIXELS)) for at in start)
    across = round((side + 1) * PIXELS)
    dark = pixels[y : y + across, x : x + across] < 128
    columns, rows = np.flatnonzero(dark.any(axis=0)), np.flatnonzero(dark.any(axis=1))
    return tuple(at / PIXELS for at in (x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1))


def test_pages_of_all_chunks_are_in_order(conn: Conn, org: UUID) -> None:
    codes = make_codes(conn, org, 24 * 5 + 1)

    bitmaps = pages(sheet(conn, org, codes, "a4-3x8", start_at=24), 200)

    assert len(bitmaps) == 6
    assert len(zxingcpp.read_barcodes(bitmaps[0], formats=QR)) == 1, "23 labels stay blank"
    assert len(zxingcpp.read_barcodes(bitmaps[-1], formats=QR)) == 24
    decoded = []
    for page in bitmaps:
        barcodes = zxingcpp.read_barcodes(page, formats=QR)
        rows = sorted(barcodes, key=lambda code: (round(code.position.top_left.y / 100), code.position.top_left.x))
        decoded += [barcode.text for barcode in rows]
    assert decoded == [code_url(code_text(conn, code)) for code in codes]


def test_symbols_are_vectors_and_the_file_is_small(conn: Conn, org: UUID) -> None:
    codes = make_codes(conn, org, 24)

    data = sheet(conn, org, codes, "a4-3x8")

    assert b"/Subtype /Image" not in data
    assert len(data) < 24 * 2_500


def test_labels_have_the_appearance_of_their_codes(conn: Conn, org: UUID) -> None:
    colored, branded = codes = make_codes(conn, org, 2)
    customize(conn, colored, foreground_color="#CC0000", style="dots")
    customize(conn, branded, LOGO)

    data = sheet(conn, org, codes, "a4-2x4")

    assert b"/Subtype /Image" in data
    with pypdfium2.PdfDocument(data) as document:
        bitmap = document[0].render(scale=2)
        page = bitmap.to_numpy()[:, :, :3][:, :, ::-1].copy()
    assert (np.abs(page.astype(int) - (204, 0, 0)).sum(axis=2) < 10).sum() > 200, "modules in red"
    assert (np.abs(page.astype(int) - (200, 30, 60)).sum(axis=2) < 20).sum() > 100, "the logo's disc"
    barcodes = zxingcpp.read_barcodes(pages(data, 200)[0], formats=QR)
    levels = {barcode.text.rpartition("/")[2]: barcode.ec_level for barcode in barcodes}
    assert levels == {code_text(conn, colored): "M", code_text(conn, branded): "H"}


def test_an_unreadable_label_stays_empty(conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.renders import label_sheets

    codes = make_codes(conn, org, 4)
    bad = code_url(code_text(conn, codes[1]))
    monkeypatch.setattr(label_sheets, "decodes_to", lambda spec, pixels: spec.text != bad)
    render_id = add_render(conn, org, codes, output="label_sheet", template="a4-2x7", caption="none")

    work()

    assert store.list_errors(conn, render_id) == [store.FailedCode(codes[1], label_sheets.UNREADABLE)]
    (page,) = pages(read_file(conn, render_id))
    empty = [not zxingcpp.read_barcodes(label(page, TEMPLATES["a4-2x7"], index)) for index in range(4)]
    assert empty == [False, True, False, False]


@pytest.mark.parametrize("step", ["layout_label", "_render_label", "decodes_to"])
def test_a_label_that_crashes_three_workers_is_dead_lettered(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The crash is attributed to this label, whether it happens at layout, rendering or decoding."""
    from shared.renders import label_sheets

    codes = make_codes(conn, org, 20)
    text = code_text(conn, codes[15])
    run_step = getattr(label_sheets, step)

    def crash(*arguments: Any) -> Any:
        if any(text in str(vars(argument)) for argument in arguments if hasattr(argument, "__dict__")):
            raise SystemExit
        return run_step(*arguments)

    render_id = add_render(conn, org, codes, output="label_sheet", template="a4-2x7", caption="none")
    crashes = 0
    with monkeypatch.context() as patch:
        patch.setattr(label_sheets, step, crash)
        while find(conn, render_id).status in rules.OPEN_STATUSES:
            try:
                work()
            except SystemExit:
                crashes += 1
                expire_leases(conn)

    # The first worker that crashes does not say with which label.
    assert crashes == 1 + rules.MAX_CRASHES
    assert find(conn, render_id).done == 19
    assert store.list_errors(conn, render_id) == [store.FailedCode(codes[15], zip_part.DEAD_LETTERED)]


def test_the_label_of_a_deleted_code_stays_empty(conn: Conn, org: UUID) -> None:
    codes = make_codes(conn, org, 3)
    render_id = add_render(conn, org, codes, output="label_sheet", template="a4-2x7", caption="code")
    conn.execute("UPDATE qr_codes SET deleted_at = now() WHERE id = %s", (codes[0],))

    work()

    assert store.list_errors(conn, render_id) == [store.FailedCode(codes[0], zip_part.DELETED)]
    assert find(conn, render_id).done == 2
    assert len(list_files(render_id)) == 1


def test_a_too_long_text_fails_alone(conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = make_code(conn, org, code="abc"), make_code(conn, org, code="x" * 64)
    monkeypatch.setattr(chunk_codes, "code_url", lambda code: "https://x.example/" + code * 12)
    render_id = add_render(conn, org, [short, long], output="label_sheet", template="a4-5x13", caption="none")

    work()

    (error,) = store.list_errors(conn, render_id)
    assert error.qr_id == long
    assert "Use a template with larger labels." in error.message


def test_captions_are_searchable_text(conn: Conn, org: UUID) -> None:
    code = make_code(conn, org, description="Grüße aus Łódź\nи Москва " + "lang " * 200)

    data = sheet(conn, org, [code], "a4-3x8", caption="description")

    with pypdfium2.PdfDocument(data) as document:
        text = document[0].get_textpage().get_text_bounded()
    assert "Grüße aus Łódź и Москва" in " ".join(text.split())
    assert "…" in text


def test_a_chunk_is_whole_pages() -> None:
    for name, template in TEMPLATES.items():
        options = rules.RenderOptions(output="label_sheet", template=name, sheet=template, caption="none", start_at=1)
        assert rules.chunk_size(options) % template.per_page == 0


def test_viewers_print_labels_at_their_true_size(conn: Conn, org: UUID) -> None:
    with pypdfium2.PdfDocument(sheet(conn, org, make_codes(conn, org, 1), "a4-3x8")) as document:
        assert not pypdfium2.raw.FPDF_VIEWERREF_GetPrintScaling(document)


def test_the_cross_reference_table_is_complete(conn: Conn, org: UUID) -> None:
    data = sheet(conn, org, make_codes(conn, org, 75), "a4-3x8")

    table = int(data[data.rindex(b"startxref") + 9 :].split()[0])
    lines = data[table:].split(b"\n")
    count = int(lines[1].split()[1])
    for number in range(1, count):
        offset = int(lines[2 + number][:10])
        assert data[offset:].startswith(b"%d 0 obj" % number)
    assert BytesIO(data).read(5) == b"%PDF-"
