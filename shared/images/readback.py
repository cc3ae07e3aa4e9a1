"""Reading a picture back from its bytes, with zxing-cpp's reader: a code that a camera cannot read is worth nothing.

Looking at bytes takes decoders that share nothing with our writers: Pillow for PNG, and a reader of its own for those
of one bit a pixel; resvg for SVG, pdfium for PDF.
"""

import threading
from io import BytesIO

import numpy as np
import zxingcpp
from numpy.typing import NDArray
from PIL import Image

from shared.images import png_reader
from shared.images.image_spec import ImageSpec
from shared.images.layout import QUIET_ZONE
from shared.images.symbol import encode

GrayImage = NDArray[np.uint8]

QR = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)

PDFIUM = threading.Lock()
"""Held by whoever uses pdfium, which serves one thread of a process at a time."""

MODULE = 4
"""Pixels along a module when a format that scales is looked at."""


def is_readable(picture: ImageSpec, data: bytes) -> bool:
    """Whether these bytes show the picture's text, at its level, dark on light and upright."""
    # What has whole square modules is sampled on its grid. What is softer must be found as a camera would find it.
    plain = picture.format == "png" and picture.style == "squares" and picture.logo is None
    return decodes_to(picture, gray_pixels(picture, data), pure=plain)


def decodes_to(picture: ImageSpec, seen: GrayImage, *, pure: bool = False) -> bool:
    """Whether these pixels show the picture's text. `pure`: nothing but the symbol, upright, in whole pixels."""
    found = zxingcpp.read_barcode(
        seen,
        formats=QR,
        is_pure=pure,
        try_rotate=False,
        try_invert=False,
        try_downscale=False,
        text_mode=zxingcpp.TextMode.Plain,
    )
    if found is None or found.ec_level != picture.level:
        return False
    return found.bytes == picture.text.encode() or found.text == picture.text  # the latter for kanji mode


def gray_pixels(picture: ImageSpec, data: bytes) -> GrayImage:
    """What the picture looks like: height x width, 0 for black."""
    if picture.format == "png":
        return _gray(data)
    across = MODULE * (len(encode(picture.text, picture.level)) + 2 * QUIET_ZONE)
    return _rasterize_svg(data, across) if picture.format == "svg" else _rasterize_pdf(data, across)


def _gray(png: bytes) -> GrayImage:
    found = png_reader.read_gray(png)
    if found is not None:
        return found
    with Image.open(BytesIO(png), formats=["PNG"]) as image:
        return np.asarray(image.convert("L"))


def _rasterize_svg(data: bytes, across: int) -> GrayImage:
    import resvg_py  # noqa: PLC0415  (loaded when first needed: most processes never see an SVG)

    return _gray(bytes(resvg_py.svg_to_bytes(svg_string=data.decode(), width=across, skip_system_fonts=True)))


def _rasterize_pdf(data: bytes, across: int) -> GrayImage:
    import pypdfium2  # type: ignore[import-untyped]  # noqa: PLC0415

    with PDFIUM, pypdfium2.PdfDocument(data) as document:
        page = document[0]
        drawn = page.render(scale=across / page.get_width(), grayscale=True)
        return np.array(drawn.to_numpy()).reshape(drawn.height, drawn.width)
