"""OpenCV's decoder: a second opinion that shares no code with zxing-cpp.

Its detector misses the corners of some flawless symbols, and its threshold the inside of large modules and the faint
edges of round ones. It therefore gets the position of the symbol, and 4 x 4 samples of the inner half of each module.
It decides what is dark, removes the mask, corrects errors, and decodes.
"""

from io import BytesIO
from types import SimpleNamespace

import cv2
import numpy as np
import segno
from PIL import Image

from shared.images.image_spec import ImageSpec
from shared.images.layout import QUIET_ZONE, fit
from shared.images.readback import PIXELS_PER_MODULE, GrayImage, gray_pixels
from shared.images.symbol import Modules, encode, version

SAMPLES = 4
"""Samples along a module."""


def opencv_reads(spec: ImageSpec, data: bytes, width: int = 0) -> bool:
    """True if OpenCV decodes the text of the spec from these bytes: in UTF-8, or in Shift-JIS for kanji mode.

    `width` of the symbol in modules saves encoding it again.
    """
    width = width or len(encode(spec.text, spec.level))
    if spec.format == "png":
        layout = fit(width, spec.size)
        module, before = layout.module, layout.before
    else:
        module, before = PIXELS_PER_MODULE, QUIET_ZONE * PIXELS_PER_MODULE
    inner = 1 / 4 + (np.arange(SAMPLES) + 1 / 2) / (2 * SAMPLES)
    at = np.add.outer(np.arange(-QUIET_ZONE, width + QUIET_ZONE), inner).ravel() * module
    at = before + np.floor(at).astype(int)
    pixels = gray_pixels(spec, data)[np.ix_(at, at)]

    return _decode(pixels) in (spec.text.encode(), spec.text.encode("shift_jis", errors="replace"))


def opencv_can_read(spec: ImageSpec) -> bool:
    """True if OpenCV decodes these modules when segno renders them. It fails for about one symbol in a thousand."""
    symbol = segno.QRCode(to_segno(encode(spec.text, spec.level), spec.level))  # type: ignore[call-arg]
    output = BytesIO()
    symbol.save(output, kind="png", scale=SAMPLES, border=QUIET_ZONE)
    return bool(_decode(np.asarray(Image.open(output).convert("L"))))


def to_segno(modules: Modules, level: str) -> SimpleNamespace:
    """Return the object that `segno.QRCode` wraps. Its writers use neither the segments nor the mask."""
    matrix = tuple(map(bytearray, modules.view("uint8")))
    return SimpleNamespace(matrix=matrix, version=version(modules), error=level, mask=None, segments=())


def _decode(pixels: GrayImage) -> bytes:
    """Return the text of a symbol with 4 pixels per module; empty if it cannot be decoded."""
    start, end = QUIET_ZONE * SAMPLES, len(pixels) - QUIET_ZONE * SAMPLES
    corners = np.array([[[start, start], [end, start], [end, end], [start, end]]], np.float32)
    text, _ = cv2.QRCodeDetector().decodeBytes(pixels, corners)
    return text
