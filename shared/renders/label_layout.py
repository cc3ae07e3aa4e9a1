"""The layout of a label: symbol, logo and caption, measured in millimeters. Importing this module loads reportlab."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reportlab.pdfbase import pdfmetrics  # type: ignore[import-untyped]
from reportlab.pdfbase.ttfonts import TTFont  # type: ignore[import-untyped]

from shared.errors import FieldError, Invalid
from shared.images.image_spec import ImageSpec
from shared.images.layout import QUIET_ZONE, LogoBox, logo_box
from shared.images.symbol import Modules, encode
from shared.renders import captions
from shared.renders.captions import FittedText
from shared.renders.chunk_codes import ChunkCode, LogoCache
from shared.renders.label_templates import LabelTemplate
from shared.renders.rules import RenderOptions

MM = 72 / 25.4
"""Points per millimeter."""

PADDING = 1.0
"""Millimeters between the edge of a label and its content. The quiet zone is part of the content."""

MIN_CAPTION_WIDTH = 12.0
"""A caption with less room than this, in millimeters, beside the symbol is below it."""

CAPTION_HEIGHT = 6.0
"""What the symbol leaves for a caption below it, in millimeters: two lines of seven points."""

MIN_MODULE = 0.25
"""Smallest module, in millimeters: three dots of a printer of 300 dots per inch."""

FONT = "WaymarkSans"


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
    caption: "LabelCaption | None"

    @property
    def module(self) -> float:
        """The size of a module in millimeters."""
        return self.side / (len(self.dark) + 2 * QUIET_ZONE)


@dataclass(frozen=True)
class LabelCaption:
    """A caption: its left edge and its vertical middle, in millimeters from the upper left of the page."""

    text: FittedText
    left: float
    middle: float


def layout_label(
    options: RenderOptions, template: LabelTemplate, index: int, logos: LogoCache, code: ChunkCode
) -> Label:
    """Return the label of a code at this index of its chunk. Raise DomainError."""
    spec = code.customization.image_spec(code.url, "pdf", options.size, options.error_correction)
    dark = encode(spec.text, spec.level)
    logo = logos.get(code)
    box = None
    if logo is not None:
        box = logo_box(len(dark), spec.logo_percent)
        dark[box.area] = False
    width, height = template.label
    text = captions.caption_text(options.caption, code.text, code.description, glyphs())
    side = min(width, height) - 2 * PADDING
    is_below = bool(text) and width - side - 2.5 * PADDING < MIN_CAPTION_WIDTH
    if is_below:
        side = min(side, height - 2.5 * PADDING - CAPTION_HEIGHT)
    if side / (len(dark) + 2 * QUIET_ZONE) < MIN_MODULE:
        raise Invalid(FieldError("symbol", f"Use a template with larger labels. This symbol has {len(dark)} modules."))
    left, top = template.corner(index)
    across = PADDING if text and not is_below else (width - side) / 2
    down = PADDING if is_below else (height - side) / 2
    caption = None
    if is_below:
        room = width - 2 * PADDING, height - side - 2.5 * PADDING
        middle = top + PADDING + side + PADDING / 2 + room[1] / 2
        caption = LabelCaption(_fit(text, *room), left + PADDING, middle)
    elif text:
        fitted = _fit(text, width - side - 2.5 * PADDING, height - 2 * PADDING)
        caption = LabelCaption(fitted, left + PADDING + side + PADDING / 2, top + height / 2)
    return Label(spec, dark, box, logo, (left + across, top + down), side, caption)


def _fit(text: str, width: float, height: float) -> FittedText:
    """Fit the text into a box of this many millimeters."""
    return captions.fit(text, width * MM, height * MM, lambda c: pdfmetrics.stringWidth(c, FONT, 1))


@cache
def glyphs() -> frozenset[int]:
    """Return the characters of the font. The first call loads it."""
    font = TTFont(FONT, str(Path(__file__).parent / "fonts" / "DejaVuSans.ttf"))
    pdfmetrics.registerFont(font)
    return frozenset(font.face.charToGlyph)
