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
PICTURE = 300  # pixels, as a PNG is served by default
CELL_WIDTH, CELL_HEIGHT = 360, 420
MARGIN = 40
HEADING = 90
INK, PALE, GROUND, PAPER = "#1F2937", "#6B7280", "#E5E7EB", "#FFFFFF"


@dataclass(frozen=True)
class Print:
    """An image as it was served (PNG), its name, and the text that a decoder read."""

    title: str
    note: str
    picture: bytes
    text: str


def read_back(picture: bytes) -> str:
    """Return the text that an independent decoder reads in an image."""
    with Image.open(BytesIO(picture)) as image:
        (symbol,) = zxingcpp.read_barcodes(image)
    return str(symbol.text)


def make_sheet(heading: str, prints: Sequence[Print]) -> bytes:
    """Return the sheet as a PNG, five images to a row."""
    rows = ceil(len(prints) / COLUMNS)
    size = (2 * MARGIN + COLUMNS * CELL_WIDTH, HEADING + rows * CELL_HEIGHT + MARGIN)
    with Image.new("RGB", size, GROUND) as sheet:
        ImageDraw.Draw(sheet).text((MARGIN + 10, 32), heading, INK, ImageFont.load_default(30))
        for place, one in enumerate(prints):
            row, column = divmod(place, COLUMNS)
            _draw(sheet, one, MARGIN + column * CELL_WIDTH, HEADING + row * CELL_HEIGHT)
        drawn = BytesIO()
        sheet.save(drawn, "PNG", optimize=True)
    return drawn.getvalue()


def _draw(sheet: Image.Image, one: Print, x: int, y: int) -> None:
    """Return one image on its card, with two lines about it and one with its text."""
    canvas = ImageDraw.Draw(sheet)
    canvas.rounded_rectangle((x + 8, y + 8, x + CELL_WIDTH - 8, y + CELL_HEIGHT - 8), 12, PAPER)
    with Image.open(BytesIO(one.picture)) as picture:
        sheet.paste(picture.convert("RGB").resize((PICTURE, PICTURE), Image.Resampling.NEAREST), (x + 30, y + 18))
    lines = ((one.title, 18, INK, 324), (one.note, 14, PALE, 350), (f"reads {one.text}", 12, PALE, 376))
    for text, size, color, below in lines:
        font = ImageFont.load_default(size)
        canvas.text((x + 30, y + below), _cut(text, font), color, font)


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """As much of a text as a card is wide."""
    if font.getlength(text) <= PICTURE:
        return text
    while font.getlength(text + "...") > PICTURE:
        text = text[:-1]
    return text + "..."
