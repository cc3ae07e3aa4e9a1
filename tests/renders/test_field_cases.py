"""Label sheets of bug reports about other projects: labels that drift, and captions that become boxes."""

import unicodedata
from itertools import product
from uuid import UUID

import pypdfium2  # type: ignore[import-untyped]
import pytest

from shared.infra.db import Conn
from shared.renders.label_templates import INCH, TEMPLATES
from tests.renders.factories import add_render, make_codes, read_file, read_manifest, work
from tests.support.factories import code_text, make_code

MM = 72 / 25.4
LETTER_3X10 = product([0.5 + row for row in range(10)], (0.1875, 2.9375, 5.6875))
"""Top and left of each label in inches."""
A4_3X7 = product([15.15 + 38.1 * row for row in range(7)], [7.21 + 66.04 * column for column in range(3)])


def sheet(conn: Conn, org: UUID, codes: list[UUID], template: str, caption: str) -> bytes:
    render_id = add_render(conn, org, codes, output="label_sheet", template=template, caption=caption)
    work()
    return read_file(conn, render_id)


@pytest.mark.parametrize("name", TEMPLATES)
def test_pages_have_the_size_of_the_paper_and_no_label_drifts(conn: Conn, org: UUID, name: str) -> None:
    template = TEMPLATES[name]
    codes = sorted(make_codes(conn, org, template.per_page + 1))

    data = sheet(conn, org, codes, name, "code")

    paper = (8.5 * INCH, 11 * INCH) if name.startswith("letter") else (210.0, 297.0)
    with pypdfium2.PdfDocument(data) as document:
        assert len(document) == 2, "a page, and the first label of the second"
        assert not pypdfium2.raw.FPDF_VIEWERREF_GetPrintScaling(document)
        for page in document:
            assert page.get_rotation() == 0
            for box in (page.get_mediabox(), page.get_cropbox()):
                assert box[:2] == (0, 0)
                assert [length / MM for length in box[2:]] == pytest.approx(paper, abs=0.01)
        for index, code in enumerate(codes):
            # The caption begins within its label, one symbol to the right of its edge.
            x, y = caption_at(document[index // template.per_page], code_text(conn, code))
            left, top = template.corner(index)
            side = min(template.label) - 2
            assert x == pytest.approx(left + side + 1.5, abs=0.6)
            assert top < paper[1] - y < top + template.label_height_mm


def caption_at(page: pypdfium2.PdfPage, text: str) -> tuple[float, float]:
    """Return left and bottom of a caption in millimeters, from the lower left. A narrow label breaks it into lines."""
    content = page.get_textpage()
    found = content.search(text[:6]).get_next()
    assert found is not None
    left, bottom, _, _ = content.get_charbox(found[0])
    return left / MM, bottom / MM


def test_the_corners_are_those_of_the_manufacturer() -> None:
    for index, (top, left) in enumerate(LETTER_3X10):
        assert TEMPLATES["letter-3x10"].corner(index) == pytest.approx((left * INCH, top * INCH), abs=0.01)
    for index, (top, left) in enumerate(A4_3X7):
        assert TEMPLATES["a4-3x7"].corner(index) == pytest.approx((left, top), abs=0.01)


@pytest.mark.parametrize(
    ("description", "is_shown"),
    [
        ("会议室 3", False),
        ("قاعة الاجتماعات", False),
        ("Кабинет 12", True),
        ("Ελληνικά", True),
        ("Łódź \u2013 piętro 2", True),
        ("Room 🚪 4", False),
        ("x" * 300, True),
    ],
)
def test_a_caption_is_text_or_the_code_and_never_boxes(conn: Conn, org: UUID, description: str, is_shown: bool) -> None:
    code = make_code(conn, org, description=description)

    with pypdfium2.PdfDocument(sheet(conn, org, [code], "a4-3x8", "description")) as document:
        text = document[0].get_textpage().get_text_bounded()

    joined = "".join(text.split())
    expected = "".join((description if is_shown else code_text(conn, code)).split())
    assert joined == expected or (joined.endswith("…") and expected.startswith(joined[:-1]))
    assert not any(c in "\u25a0\ufffd" or unicodedata.category(c) == "Co" for c in text)


def test_a_manifest_keeps_every_description(conn: Conn, org: UUID) -> None:
    descriptions = ["会议室 3", "قاعة الاجتماعات", "Room 🚪 4"]
    codes = [make_code(conn, org, description=description) for description in descriptions]
    render_id = add_render(conn, org, codes)
    work()

    rows = read_manifest(read_file(conn, render_id))

    assert [row["description"] for row in rows] == descriptions
