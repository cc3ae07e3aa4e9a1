"""Decoding of images from their bytes, with zxing-cpp's reader.

Independent decoders turn the bytes into pixels: Pillow and `png_reader` for PNG, resvg for SVG, pdfium for PDF.
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
"""Hold this lock around every use of pdfium, which is not thread-safe."""

PIXELS_PER_MODULE = 4
"""Resolution at which SVG and PDF are rasterized."""


def is_readable(spec: ImageSpec, data: bytes) -> bool:
    """True if these bytes show the text of the spec, at its level, dark on light and upright."""
    # Square modules are sampled on their grid. Softer ones must be found as a camera would find them.
    has_square_modules = spec.format == "png" and spec.style == "squares" and spec.logo is None
    return decodes_to(spec, gray_pixels(spec, data), pure=has_square_modules)


def decodes_to(spec: ImageSpec, pixels: GrayImage, *, pure: bool = False) -> bool:
    """True if these pixels show the text of the spec. `pure`: only the symbol, upright, in whole pixels."""
    barcode = zxingcpp.read_barcode(
        pixels,
        formats=QR,
        is_pure=pure,
        try_rotate=False,
        try_invert=False,
        try_downscale=False,
        text_mode=zxingcpp.TextMode.Plain,
    )
    if barcode is None or barcode.ec_level != spec.level:
        return False
    # Kanji mode returns the right text, but other bytes.
    return barcode.bytes == spec.text.encode() or barcode.text == spec.text


def gray_pixels(spec: ImageSpec, data: bytes) -> GrayImage:
    """Return the pixels that these bytes show: height x width, 0 for black."""
    if spec.format == "png":
        return _decode_png(data)
    across = PIXELS_PER_MODULE * (len(encode(spec.text, spec.level)) + 2 * QUIET_ZONE)
    return _rasterize_svg(data, across) if spec.format == "svg" else _rasterize_pdf(data, across)


def _decode_png(png: bytes) -> GrayImage:
    pixels = png_reader.read_gray(png)
    if pixels is not None:
        return pixels
    with Image.open(BytesIO(png), formats=["PNG"]) as image:
        return np.asarray(image.convert("L"))


def _rasterize_svg(data: bytes, across: int) -> GrayImage:
    import resvg_py  # noqa: PLC0415 - most processes never decode an SVG

    return _decode_png(bytes(resvg_py.svg_to_bytes(svg_string=data.decode(), width=across, skip_system_fonts=True)))


def _rasterize_pdf(data: bytes, across: int) -> GrayImage:
    import pypdfium2  # type: ignore[import-untyped]  # noqa: PLC0415 - most processes never decode a PDF

    with PDFIUM, pypdfium2.PdfDocument(data) as document:
        page = document[0]
        bitmap = page.render(scale=across / page.get_width(), grayscale=True)
        return np.array(bitmap.to_numpy()).reshape(bitmap.height, bitmap.width)


class UnknownImage(ValueError):
    """Use a PNG, JPEG, WebP, SVG or PDF file."""


MAX_PHOTO_PIXELS = 100_000_000
PAGE_PIXELS = 2_000
"""Width at which the SVG or the first page of the PDF is rasterized."""


def read_texts(data: bytes) -> list[str]:
    """Return the texts of all QR codes in an image of any origin, such as a photo. Raise UnknownImage.

    The codes may be rotated, inverted and of any size.
    """
    try:
        if data.startswith(b"%PDF-"):
            pixels = _rasterize_pdf(data, PAGE_PIXELS)
        elif data.lstrip().startswith((b"<svg", b"<?xml")):
            pixels = _rasterize_svg(data, PAGE_PIXELS)
        else:
            pixels = _decode_photo(data)
    except UnknownImage:
        raise
    except Exception as error:
        # Decoders of three libraries raise errors of their own for damaged files.
        raise UnknownImage(UnknownImage.__doc__) from error
    return [barcode.text for barcode in zxingcpp.read_barcodes(pixels, formats=QR, text_mode=zxingcpp.TextMode.Plain)]


def _decode_photo(data: bytes) -> GrayImage:
    with Image.open(BytesIO(data), formats=["PNG", "JPEG", "WEBP"]) as image:
        if image.width * image.height > MAX_PHOTO_PIXELS:
            raise UnknownImage(f"Use an image of at most {MAX_PHOTO_PIXELS:,} pixels.")
        return np.asarray(image.convert("L"))
