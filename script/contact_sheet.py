"""A contact sheet: images of codes side by side, each with its name and the text that a decoder read."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from math import ceil
from typing import TYPE_CHECKING

import zxingcpp
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = 5
# Pixels: the default size of a PNG.
IMAGE = 300
CELL_WIDTH, CELL_HEIGHT = 360, 420
MARGIN = 40
HEADING = 90
INK, PALE, GROUND, PAPER = "#1F2937", "#6B7280", "#E5E7EB", "#FFFFFF"


@dataclass(frozen=True)
class Print:
    """An image as it was served (PNG), its name, and the text that a decoder read."""

    title: str
    note: str
    image: bytes
    text: str


def read_back(png: bytes) -> str:
    """Return the text that an independent decoder reads in an image."""
    with Image.open(BytesIO(png)) as image:
        (symbol,) = zxingcpp.read_barcodes(image)
    return str(symbol.text)


def make_sheet(heading: str, prints: Sequence[Print]) -> bytes:
    """Return the sheet as a PNG, five images to a row."""
    rows = ceil(len(prints) / COLUMNS)
    size = (2 * MARGIN + COLUMNS * CELL_WIDTH, HEADING + rows * CELL_HEIGHT + MARGIN)
    with Image.new("RGB", size, GROUND) as sheet:
        ImageDraw.Draw(sheet).text((MARGIN + 10, 32), heading, INK, ImageFont.load_default(30))
        for index, card in enumerate(prints):
            row, column = divmod(index, COLUMNS)
            _draw_card(sheet, card, MARGIN + column * CELL_WIDTH, HEADING + row * CELL_HEIGHT)
        output = BytesIO()
        sheet.save(output, "PNG", optimize=True)
    return output.getvalue()


def _draw_card(sheet: Image.Image, card: Print, x: int, y: int) -> None:
    """Draw a card: an image, its title, a note, and the decoded text."""
    canvas = ImageDraw.Draw(sheet)
    canvas.rounded_rectangle((x + 8, y + 8, x + CELL_WIDTH - 8, y + CELL_HEIGHT - 8), 12, PAPER)
    with Image.open(BytesIO(card.image)) as image:
        sheet.paste(image.convert("RGB").resize((IMAGE, IMAGE), Image.Resampling.NEAREST), (x + 30, y + 18))
    lines = ((card.title, 18, INK, 324), (card.note, 14, PALE, 350), (f"reads {card.text}", 12, PALE, 376))
    for text, size, color, below in lines:
        font = ImageFont.load_default(size)
        canvas.text((x + 30, y + below), _truncate(text, font), color, font)


def _truncate(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return the text, truncated to the width of a card."""
    if font.getlength(text) <= IMAGE:
        return text
    while font.getlength(text + "...") > IMAGE:
        text = text[:-1]
    return text + "..."
