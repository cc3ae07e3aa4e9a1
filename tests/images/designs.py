"""Designs of codes, and the colors of their images."""

from io import BytesIO
from typing import Any

from PIL import Image, ImageDraw

from tests.images.camera_view import open_png

DEFAULTS: dict[str, Any] = {
    "foreground_color": "#000000",
    "background_color": "#FFFFFF",
    "style": "squares",
    "logo_size_percent": 20,
    "has_logo": False,
    "contrast_ratio": 21.0,
}
CUSTOM: dict[str, Any] = {
    "foreground_color": "#1a2B3c",
    "background_color": "#FFF8E7",
    "style": "dots",
    "logo_size_percent": 25,
}
CUSTOM_RATIO = {"contrast_ratio": 13.63}


def logo(kind: str = "PNG", color: str = "crimson", size: int = 64) -> bytes:
    image = Image.new("RGB", (size, size), "white")
    ImageDraw.Draw(image).ellipse((4, 4, size - 4, size - 4), fill=color)
    stream = BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def colors(data: bytes) -> set[str]:
    counts = open_png(data).convert("RGB").getcolors(10_000)
    return {"#{:02X}{:02X}{:02X}".format(*color) for _, color in counts or ()}  # type: ignore[misc]


def has_red(data: bytes) -> bool:
    """True if the image shows the crimson of the logo, also after the losses of JPEG."""
    channels = [tuple(bytes.fromhex(color[1:])) for color in colors(data)]
    return any(red > 180 and green < 80 and blue < 110 for red, green, blue in channels)
