"""Parts of a label sheet: whole pages, rendered by reportlab as vectors, rasterized by pdfium, and decoded.

A label that cannot be decoded from its page stays empty, so the others keep their positions. Importing this module
loads the renderer, reportlab and pdfium.
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
from shared.renders.captions import FittedText
from shared.renders.chunk_codes import ChunkCode, LogoCache
from shared.renders.label_templates import TEMPLATES, LabelTemplate
from shared.renders.rules import Render, RenderOptions
from shared.renders.store import FailedCode
from shared.renders.zip_part import DEAD_LETTERED, DELETED, error_message, with_current_logo

MM = 72 / 25.4
"""Points per millimeter."""

PADDING = 1.0
"""Millimeters between the edge of a label and its content. The quiet zone is part of the content."""

MIN_MODULE = 0.25
"""Smallest module, in millimeters: three dots of a printer of 300 dots per inch."""

MARK, MARK_WIDTH = 1.5, 0.1
"""Length and width, in millimeters, of the arms of the cross at each corner of a label."""

PIXELS_PER_MODULE = 4
"""Resolution at which a page is rasterized to be decoded."""

FONT = "WaymarkSans"
UNREADABLE = "The label cannot be decoded. Choose a template with larger labels."

# Binary streams are a fifth smaller.
rl_config.useA85 = 0


@dataclass(frozen=True)
class Label:
    """The content of one label.

    `corner` is the upper left corner of the symbol with its quiet zone, from the upper left of the page. `side` is its
    width and height. Both are in millimeters.
    """

    spec: ImageSpec
    dark: Modules
    box: LogoBox | None
    logo: bytes | None
    corner: tuple[float, float]
    side: float
    caption: FittedText | None

    @property
    def module(self) -> float:
        """The size of a module in millimeters."""
        return self.side / (len(self.dark) + 2 * QUIET_ZONE)


def write_part(
    out: Writer,
    job: Render,
    codes: Sequence[ChunkCode | None],
    qr_ids: Sequence[UUID],
    *,
    dead_lettered: frozenset[int],
    alone: bool,
    before_each: Callable[[int | None], None],
) -> list[FailedCode]:
    """Write the pages of a chunk as a PDF. Return the codes whose labels stay empty.

    `alone`: render and decode each label by itself first, so that a crash can be attributed to a label. `before_each`
    gets the index of the next label, or None before work on all of them, and ends the work by raising.
    """
    template, logos = TEMPLATES[str(job.template)], LogoCache()
    # Loading the font takes a while, which must not count as work on the first label.
    glyphs()
    labels: dict[int, Label] = {}
    failed: dict[int, str] = {}
    for index, (qr_id, code) in enumerate(zip(qr_ids, codes, strict=True)):
        before_each(index)
        if code is None or index in dead_lettered:
            failed[index] = DELETED if code is None else DEAD_LETTERED
            continue
        try:
            _, labels[index] = with_current_logo(job, code, partial(layout_label, job, template, index, logos))
            if alone:
                label = {index % template.per_page: labels[index]}
                find_unreadable(render_pages(template, template.per_page, label), template, label, lambda: None)
        except psycopg.Error:
            raise
        except Exception as error:  # noqa: BLE001 - one label must not fail the others
            failed[index] = error_message(error, qr_id)
    while True:
        before_each(None)
        pages = render_pages(template, len(qr_ids), labels)
        unreadable = find_unreadable(pages, template, labels, lambda: before_each(None))
        if not unreadable:
            break
        failed |= dict.fromkeys(unreadable, UNREADABLE)
        labels = {index: label for index, label in labels.items() if index not in unreadable}
    out.write(pages)
    return [FailedCode(qr_ids[index], failed[index]) for index in sorted(failed)]


def layout_label(
    options: RenderOptions, template: LabelTemplate, index: int, logos: LogoCache, code: ChunkCode
) -> Label:
    """Return the label of a code at this index of its chunk. Raise DomainError."""
    spec = code.customization.image_spec(code_url(code.text), "pdf", options.size, options.error_correction)
    dark = encode(spec.text, spec.level)
    logo = logos.get(code)
    box = None
    if logo is not None:
        box = logo_box(len(dark), spec.logo_percent)
        dark[box.area] = False
    width, height = template.label
    side = min(width, height) - 2 * PADDING
    if side / (len(dark) + 2 * QUIET_ZONE) < MIN_MODULE:
        raise Invalid(FieldError("symbol", f"has {len(dark)} modules, too many for a label of this template"))
    caption = captions.caption_text(options.caption, code.text, code.description, glyphs())
    left, top = template.corner(index)
    across = PADDING if caption else (width - side) / 2
    fitted = fit_caption(caption, template, side) if caption else None
    return Label(spec, dark, box, logo, (left + across, top + (height - side) / 2), side, fitted)


def fit_caption(caption: str, template: LabelTemplate, side: float) -> FittedText:
    """Fit the caption into the space to the right of a symbol of this width in millimeters."""
    width, height = template.label[0] - side - 2.5 * PADDING, template.label[1] - 2 * PADDING
    return captions.fit(caption, width * MM, height * MM, lambda c: pdfmetrics.stringWidth(c, FONT, 1))


def render_pages(template: LabelTemplate, count: int, labels: dict[int, Label]) -> bytes:
    """Return a PDF with pages for `count` labels. Equal input gives equal bytes."""
    glyphs()
    output = BytesIO()
    width, height = (length * MM for length in template.page)
    canvas = Canvas(output, pagesize=(width, height), pageCompression=1, invariant=1)
    for first in range(0, count, template.per_page):
        _cut_marks(canvas, template)
        for index in range(first, min(first + template.per_page, count)):
            if index in labels:
                _render_label(canvas, template, index, labels[index])
        canvas.showPage()
    canvas.save()
    return output.getvalue()


def find_unreadable(
    pages: bytes, template: LabelTemplate, labels: dict[int, Label], heartbeat: Callable[[], None]
) -> list[int]:
    """Return the indexes of the labels that cannot be decoded from these pages."""
    unreadable = []
    for number in range(-(-(max(labels, default=-1) + 1) // template.per_page)):
        heartbeat()
        on_page = {index: label for index, label in labels.items() if index // template.per_page == number}
        if not on_page:
            continue
        # Pixels per millimeter.
        scale = PIXELS_PER_MODULE / min(label.module for label in on_page.values())
        with PDFIUM, pypdfium2.PdfDocument(pages) as document:
            bitmap = document[number].render(scale=scale / MM, grayscale=True)
            page = bitmap.to_numpy().reshape(bitmap.height, bitmap.width).copy()
        for index, label in on_page.items():
            left, top, side = (round(length * scale) for length in (*label.corner, label.side))
            if not decodes_to(label.spec, page[max(top, 0) : top + side, max(left, 0) : left + side]):
                unreadable.append(index)
    return unreadable


def _cut_marks(canvas: Canvas, template: LabelTemplate) -> None:
    crosses = set()
    for index in range(template.per_page):
        left, top = template.corner(index)
        for x in (left, left + template.label[0]):
            for y in (top, top + template.label[1]):
                crosses.add((round(x, 3), round(y, 3)))
    height = template.page[1]
    operators = [f"q 0.6 G {MARK_WIDTH * MM:.3f} w"]
    for x, y in sorted(crosses):
        for across, down in ((MARK, 0.0), (0.0, MARK)):
            start = f"{(x - across) * MM:.3f} {(height - y - down) * MM:.3f} m"
            operators.append(f"{start} {(x + across) * MM:.3f} {(height - y + down) * MM:.3f} l")
    canvas.addLiteral("\n".join((*operators, "S Q")))


def _render_label(canvas: Canvas, template: LabelTemplate, index: int, label: Label) -> None:
    x, y = label.corner[0] * MM, (template.page[1] - label.corner[1]) * MM
    side, module = label.side * MM, label.module * MM
    canvas.addLiteral(
        f"q {pdf_color(label.spec.background)} rg {x:.4f} {y - side:.4f} {side:.4f} {side:.4f} re f\n"
        f"{module:.6f} 0 0 {-module:.6f} {x + QUIET_ZONE * module:.4f} {y - QUIET_ZONE * module:.4f} cm\n"
        f"{pdf_modules(label.spec, label.dark)} Q"
    )
    if label.logo is not None and label.box is not None:
        image = ImageReader(BytesIO(label.logo))
        longest = label.box.logo * module / max(image.getSize())
        width, height = (length * longest for length in image.getSize())
        middle = x + side / 2, y - side / 2
        canvas.drawImage(image, middle[0] - width / 2, middle[1] - height / 2, width, height, mask="auto")
    if label.caption is not None:
        _render_caption(canvas, template, index, label, label.caption)


def _render_caption(canvas: Canvas, template: LabelTemplate, index: int, label: Label, caption: FittedText) -> None:
    """Write the caption to the right of the symbol, vertically centered."""
    left = label.corner[0] + label.side + PADDING / 2
    leading = caption.size * captions.LEADING
    middle = (template.page[1] - template.corner(index)[1] - template.label[1] / 2) * MM
    text = canvas.beginText(left * MM, middle + (len(caption.lines) / 2 - 0.8) * leading)
    text.setFont(FONT, caption.size, leading)
    text.setFillGray(0)
    for line in caption.lines:
        text.textLine(line)
    canvas.drawText(text)


@cache
def glyphs() -> frozenset[int]:
    """Return the characters of the font. The first call loads it."""
    font = TTFont(FONT, str(Path(__file__).parent / "fonts" / "DejaVuSans.ttf"))
    pdfmetrics.registerFont(font)
    return frozenset(font.face.charToGlyph)
