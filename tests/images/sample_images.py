"""A logo, and what pictures look like."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from shared.images.logos import sanitize_logo


def image_bytes(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """As Pillow writes it."""
    written = BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def _disc() -> Image.Image:
    image = Image.new("RGBA", (120, 80), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((2, 2, 117, 77), fill=(200, 30, 60, 255))
    return image


LOGO = sanitize_logo(image_bytes(_disc()))
"""A red disc on nothing, wider than high."""


def colors(png: bytes) -> NDArray[np.uint8]:
    """Height x width x (red, green, blue), by Pillow."""
    with Image.open(BytesIO(png), formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB"))
