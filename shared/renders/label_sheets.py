"""Parts of a label sheet: whole pages, rendered by reportlab as vectors, rasterized by pdfium, and decoded.

A label that cannot be decoded from its page stays empty, so the others keep their positions. Importing this module
loads the renderer, reportlab and pdfium.
"""

from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from uuid import UUID

import psycopg
import pypdfium2  # type: ignore[import-untyped]
from reportlab import rl_config  # type: ignore[import-untyped]
from reportlab.lib.utils import ImageReader  # type: ignore[import-untyped]
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]

from shared.images.layout import QUIET_ZONE
from shared.images.readback import PDFIUM, decodes_to
from shared.images.vector import pdf_color, pdf_modules
from shared.infra.storage.base import Writer
from shared.renders import captions
from shared.renders.chunk_codes import ChunkCode, LogoCache
from shared.renders.image_timer import ImageTimer
from shared.renders.label_layout import FONT, MM, Label, LabelCaption, glyphs, layout_label
from shared.renders.label_templates import LabelTemplate
from shared.renders.rules import Render
from shared.renders.store import FailedCode
from shared.renders.zip_part import DEAD_LETTERED, DELETED, error_message, with_current_logo

MARK, MARK_WIDTH = 1.5, 0.1
"""Length and width, in millimeters, of the arms of the cross at each corner of a label."""

PIXELS_PER_MODULE = 4
"""Resolution at which a page is rasterized to be decoded."""

MAX_PAGE_PIXELS = 20_000_000
"""Limit of a rasterized page: A4 with the smallest modules has 16 million. Without it, a page of half a meter with one
small label takes a second and 128 MB."""

UNREADABLE = "The label cannot be decoded. Choose a template with larger labels."

# Binary streams are a fifth smaller.
rl_config.useA85 = 0


def write_part(
    out: Writer,
    job: Render,
    codes: Sequence[ChunkCode | None],
    qr_ids: Sequence[UUID],
    *,
    timer: ImageTimer,
    skipped: int,
    dead_lettered: frozenset[int],
    alone: bool,
    before_each: Callable[[int | None], None],
) -> list[FailedCode]:
    """Write the pages of a chunk as a PDF. Return the codes whose labels stay empty.

    `skipped`: how many labels of the first page stay blank. `alone`: render and decode each label by itself first, so
    that a crash can be attributed to a label. `before_each` gets the index of the next label, or None before work on
    all of them, and ends the work by raising. Raise ChunkTooSlow if the pages take too long.
    """
    if job.sheet is None:
        raise ValueError("A label sheet needs the measures of a template.")
    template, logos = job.sheet, LogoCache()
    # Loading the font takes a while, which must not count as work on the first label.
    glyphs()
    # By position: the code at an index of the chunk is on the label at index + skipped.
    labels: dict[int, Label] = {}
    failed: dict[int, str] = {}
    for index, (qr_id, code) in enumerate(zip(qr_ids, codes, strict=True)):
        before_each(index)
        if code is None or index in dead_lettered:
            failed[index] = DELETED if code is None else DEAD_LETTERED
            continue
        position = index + skipped
        try:
            _, label = with_current_logo(job, code, partial(_layout_in_time, timer, job, template, logos, position))
            if alone:
                on_page = {position % template.per_page: label}
                with timer.limit_image():
                    find_unreadable(render_pages(template, template.per_page, on_page), template, on_page, 0)
            labels[position] = label
        except psycopg.Error:
            raise
        except Exception as error:  # noqa: BLE001 - one label must not fail the others
            failed[index] = error_message(error, qr_id)
    while True:
        before_each(None)
        with timer.limit_pages():
            pages = render_pages(template, skipped + len(qr_ids), labels)
        unreadable: list[int] = []
        for number in range(-(-(max(labels, default=-1) + 1) // template.per_page)):
            before_each(None)
            with timer.limit_pages():
                unreadable += find_unreadable(pages, template, labels, number)
        if not unreadable:
            break
        failed |= {position - skipped: UNREADABLE for position in unreadable}
        labels = {position: label for position, label in labels.items() if position not in unreadable}
    out.write(pages)
    return [FailedCode(qr_ids[index], failed[index]) for index in sorted(failed)]


def _layout_in_time(
    timer: ImageTimer, job: Render, template: LabelTemplate, logos: LogoCache, index: int, code: ChunkCode
) -> Label:
    # The logo is cached before the time limit starts, which must not interrupt a statement of PostgreSQL.
    logos.get(code)
    with timer.limit_image():
        return layout_label(job, template, index, logos, code)


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
                _render_label(canvas, template, labels[index])
        canvas.showPage()
    canvas.save()
    return output.getvalue()


def find_unreadable(pages: bytes, template: LabelTemplate, labels: dict[int, Label], number: int) -> list[int]:
    """Return the indexes of the labels that cannot be decoded from the page with this number, from 0."""
    on_page = {index: label for index, label in labels.items() if index // template.per_page == number}
    if not on_page:
        return []
    # Pixels per millimeter.
    scale = PIXELS_PER_MODULE / min(label.module for label in on_page.values())
    scale = min(scale, (MAX_PAGE_PIXELS / (template.page_width_mm * template.page_height_mm)) ** 0.5)
    with PDFIUM, pypdfium2.PdfDocument(pages) as document:
        bitmap = document[number].render(scale=scale / MM, grayscale=True)
        page = bitmap.to_numpy().reshape(bitmap.height, bitmap.width).copy()
    unreadable = []
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


def _render_label(canvas: Canvas, template: LabelTemplate, label: Label) -> None:
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
        _render_caption(canvas, template, label.caption)


def _render_caption(canvas: Canvas, template: LabelTemplate, caption: LabelCaption) -> None:
    leading = caption.text.size * captions.LEADING
    middle = (template.page_height_mm - caption.middle) * MM
    text = canvas.beginText(caption.left * MM, middle + (len(caption.text.lines) / 2 - 0.8) * leading)
    text.setFont(FONT, caption.text.size, leading)
    text.setFillGray(0)
    for line in caption.text.lines:
        text.textLine(line)
    canvas.drawText(text)
