"""A logo, and the colors of an image."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from shared.images.logos import sanitize_logo


def image_bytes(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return the image in this format, written by Pillow."""
    output = BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def _disc() -> Image.Image:
    image = Image.new("RGBA", (120, 80), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((2, 2, 117, 77), fill=(200, 30, 60, 255))
    return image


LOGO = sanitize_logo(image_bytes(_disc()))
"""A red disc on a transparent background, wider than high."""


def colors(png: bytes) -> NDArray[np.uint8]:
    """Return height x width x (red, green, blue), decoded by Pillow."""
    with Image.open(BytesIO(png), formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB"))
