"""One chunk of a label sheet: whole pages, drawn by reportlab as vectors, and looked at by pdfium. Importing this loads
both, and the renderer.

A label that cannot be read back from the page stays empty, so that the others keep their places.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from uuid import UUID

import psycopg
import pypdfium2  # type: ignore[import-untyped]
from reportlab import rl_config  # type: ignore[import-untyped]
from reportlab.lib.utils import ImageReader  # type: ignore[import-untyped]
from reportlab.pdfbase import pdfmetrics  # type: ignore[import-untyped]
from reportlab.pdfbase.ttfonts import TTFont  # type: ignore[import-untyped]
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]

from shared.errors import FieldError, Invalid
from shared.images.code_url import code_url
from shared.images.image_spec import ImageSpec
from shared.images.layout import QUIET_ZONE, LogoBox, logo_box
from shared.images.readback import PDFIUM, decodes_to
from shared.images.symbol import Modules, encode
from shared.images.vector import pdf_color, pdf_modules
from shared.infra.storage.base import Writer
from shared.renders import captions
from shared.renders.chunk_codes import ChunkCode, LogoCache
from shared.renders.label_templates import TEMPLATES, LabelTemplate
from shared.renders.rules import Render, RenderOptions
from shared.renders.store import FailedCode
from shared.renders.zip_part import DELETED, SET_ASIDE, told, with_current_logo

MM = 72 / 25.4
"""Points in a millimetre."""
PADDING = 1.0
"""Millimetres between a label's edge and what is printed on it, besides the quiet zone."""
MIN_MODULE = 0.25
"""Millimetres: three dots of a printer of 300 dots an inch."""
MARK, MARK_WIDTH = 1.5, 0.1
"""Millimetres: the arms of the cross at each label's corner."""
PIXELS = 4
"""Along a module, when a page is looked at."""
FONT = "WaymarkSans"
UNREADABLE = "The label cannot be read back; one on a larger template may be."

rl_config.useA85 = 0  # binary streams: a fifth smaller


@dataclass(frozen=True)
class Label:
    """What is to be drawn on one label. `corner` is the upper left one of the picture with its quiet zone, `side` its
    length, in millimetres from the page's upper left."""

    picture: ImageSpec
    dark: Modules
    box: LogoBox | None
    logo: bytes | None
    corner: tuple[float, float]
    side: float
    caption: str

    @property
    def module(self) -> float:
        """Millimetres."""
        return self.side / (len(self.dark) + 2 * QUIET_ZONE)


def write_part(
    out: Writer,
    asked: Render,
    codes: Sequence[ChunkCode | None],
    qr_ids: Sequence[UUID],
    *,
    aside: frozenset[int],
    alone: bool,
    before_each: Callable[[int | None], None],
) -> list[FailedCode]:
    """Write a chunk's pages as a PDF of their own; returns the codes whose labels stay empty.

    `alone`: each label is drawn and looked at by itself first, so that one with which workers die is known.
    """
    template, logos = TEMPLATES[str(asked.template)], LogoCache()
    glyphs()  # before the first label is in hand, as it takes a while
    labels: dict[int, Label] = {}
    failed: dict[int, str] = {}
    for place, (qr_id, code) in enumerate(zip(qr_ids, codes, strict=True)):
        before_each(place)
        if code is None or place in aside:
            failed[place] = DELETED if code is None else SET_ASIDE
            continue
        try:
            _, labels[place] = with_current_logo(asked, code, partial(layout_label, asked, template, place, logos))
            if alone:
                by_itself = {place % template.per_page: labels[place]}
                find_unreadable(render_pages(template, template.per_page, by_itself), template, by_itself, lambda: None)
        except psycopg.Error:
            raise
        except Exception as error:  # noqa: BLE001 - one label takes none along
            failed[place] = told(error, qr_id)
    while True:
        before_each(None)
        pages = render_pages(template, len(qr_ids), labels)
        unread = find_unreadable(pages, template, labels, lambda: before_each(None))
        if not unread:
            break
        failed |= dict.fromkeys(unread, UNREADABLE)
        labels = {place: label for place, label in labels.items() if place not in unread}
    out.write(pages)
    return [FailedCode(qr_ids[place], failed[place]) for place in sorted(failed)]


def layout_label(asked: RenderOptions, template: LabelTemplate, place: int, logos: LogoCache, code: ChunkCode) -> Label:
    """The label of a code at this place of its chunk. Raises DomainError."""
    picture = code.customization.image_spec(code_url(code.text), "pdf", asked.size, asked.error_correction)
    dark = encode(picture.text, picture.level)
    logo = logos.get(code)
    box = None
    if logo is not None:
        box = logo_box(len(dark), picture.logo_percent)
        dark[box.area] = False
    width, height = template.label
    side = min(width, height) - 2 * PADDING
    if side / (len(dark) + 2 * QUIET_ZONE) < MIN_MODULE:
        raise Invalid(FieldError("symbol", f"has {len(dark)} modules, too many for a label of this template"))
    caption = captions.caption_text(asked.caption, code.text, code.description, glyphs())
    left, top = template.corner(place)
    across = PADDING if caption else (width - side) / 2
    return Label(picture, dark, box, logo, (left + across, top + (height - side) / 2), side, caption)


def render_pages(template: LabelTemplate, places: int, labels: dict[int, Label]) -> bytes:
    """Pages for so many places, as a PDF. Same in, same out."""
    glyphs()
    written = BytesIO()
    width, height = (length * MM for length in template.page)
    canvas = Canvas(written, pagesize=(width, height), pageCompression=1, invariant=1)
    for first in range(0, places, template.per_page):
        _cut_marks(canvas, template)
        for place in range(first, min(first + template.per_page, places)):
            if place in labels:
                _draw_label(canvas, template, place, labels[place])
        canvas.showPage()
    canvas.save()
    return written.getvalue()


def find_unreadable(
    pages: bytes, template: LabelTemplate, labels: dict[int, Label], beat: Callable[[], None]
) -> list[int]:
    """The places whose labels do not show their text, seen one by one on the pages as they are."""
    missed = []
    for number in range(-(-(max(labels, default=-1) + 1) // template.per_page)):
        beat()
        here = {place: label for place, label in labels.items() if place // template.per_page == number}
        if not here:
            continue
        scale = PIXELS / min(label.module for label in here.values())  # pixels in a millimetre
        with PDFIUM, pypdfium2.PdfDocument(pages) as document:
            drawn = document[number].render(scale=scale / MM, grayscale=True)
            page = drawn.to_numpy().reshape(drawn.height, drawn.width).copy()
        for place, label in here.items():
            left, top, side = (round(length * scale) for length in (*label.corner, label.side))
            if not decodes_to(label.picture, page[max(top, 0) : top + side, max(left, 0) : left + side]):
                missed.append(place)
    return missed


def _cut_marks(canvas: Canvas, template: LabelTemplate) -> None:
    lines = set()
    for place in range(template.per_page):
        left, top = template.corner(place)
        for x in (left, left + template.label[0]):
            for y in (top, top + template.label[1]):
                lines.add((round(x, 3), round(y, 3)))
    height = template.page[1]
    told = [f"q 0.6 G {MARK_WIDTH * MM:.3f} w"]
    for x, y in sorted(lines):
        for across, down in ((MARK, 0.0), (0.0, MARK)):
            start = f"{(x - across) * MM:.3f} {(height - y - down) * MM:.3f} m"
            told.append(f"{start} {(x + across) * MM:.3f} {(height - y + down) * MM:.3f} l")
    canvas.addLiteral("\n".join((*told, "S Q")))


def _draw_label(canvas: Canvas, template: LabelTemplate, place: int, label: Label) -> None:
    x, y = label.corner[0] * MM, (template.page[1] - label.corner[1]) * MM
    side, module = label.side * MM, label.module * MM
    canvas.addLiteral(
        f"q {pdf_color(label.picture.background)} rg {x:.4f} {y - side:.4f} {side:.4f} {side:.4f} re f\n"
        f"{module:.6f} 0 0 {-module:.6f} {x + QUIET_ZONE * module:.4f} {y - QUIET_ZONE * module:.4f} cm\n"
        f"{pdf_modules(label.picture, label.dark)} Q"
    )
    if label.logo is not None and label.box is not None:
        image = ImageReader(BytesIO(label.logo))
        longest = label.box.logo * module / max(image.getSize())
        width, height = (length * longest for length in image.getSize())
        middle = x + side / 2, y - side / 2
        canvas.drawImage(image, middle[0] - width / 2, middle[1] - height / 2, width, height, mask="auto")
    if label.caption:
        _draw_caption(canvas, template, place, label)


def _draw_caption(canvas: Canvas, template: LabelTemplate, place: int, label: Label) -> None:
    """To the right of the picture, in the middle of the height."""
    left = label.corner[0] + label.side + PADDING / 2
    corner = template.corner(place)
    width = (corner[0] + template.label[0] - PADDING - left) * MM
    height = (template.label[1] - 2 * PADDING) * MM
    fitted = captions.fit(label.caption, width, height, lambda text, size: pdfmetrics.stringWidth(text, FONT, size))
    leading = fitted.size * captions.LEADING
    middle = (template.page[1] - corner[1] - template.label[1] / 2) * MM
    text = canvas.beginText(left * MM, middle + (len(fitted.lines) / 2 - 0.8) * leading)
    text.setFont(FONT, fitted.size, leading)
    text.setFillGray(0)
    for line in fitted.lines:
        text.textLine(line)
    canvas.drawText(text)


@cache
def glyphs() -> frozenset[int]:
    """The characters that captions can be set in; the first call loads the font."""
    font = TTFont(FONT, str(Path(__file__).parent / "fonts" / "DejaVuSans.ttf"))
    pdfmetrics.registerFont(font)
    return frozenset(font.face.charToGlyph)
