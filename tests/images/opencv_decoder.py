"""OpenCV's decoder: the second opinion, which shares no code with zxing-cpp.

Its detector loses the corners of some flawless symbols, and its threshold the inside of large modules and the faint
rims of round ones. So it is told where the symbol is, and shown 4 x 4 samples of each module's inner half. Its part is
to decide what is dark, to unmask, to correct and to decode.
"""

from io import BytesIO

import cv2
import numpy as np
import segno
from PIL import Image

from shared.images.image_spec import ImageSpec
from shared.images.layout import QUIET_ZONE, fit
from shared.images.readback import PIXELS_PER_MODULE, GrayImage, gray_pixels
from shared.images.symbol import encode
from shared.images.vector import to_segno

SAMPLES = 4
"""Along a module."""


def opencv_reads(picture: ImageSpec, data: bytes) -> bool:
    """Whether OpenCV finds the picture's text in these bytes: as UTF-8, or as kanji mode holds it."""
    width = len(encode(picture.text, picture.level))
    if picture.format == "png":
        layout = fit(width, picture.size)
        module, before = layout.module, layout.before
    else:
        module, before = PIXELS_PER_MODULE, QUIET_ZONE * PIXELS_PER_MODULE
    inner = 1 / 4 + (np.arange(SAMPLES) + 1 / 2) / (2 * SAMPLES)
    at = np.add.outer(np.arange(-QUIET_ZONE, width + QUIET_ZONE), inner).ravel() * module
    at = before + np.floor(at).astype(int)
    seen = gray_pixels(picture, data)[np.ix_(at, at)]

    return _decode(seen) in (picture.text.encode(), picture.text.encode("shift_jis", errors="replace"))


def opencv_can_read(picture: ImageSpec) -> bool:
    """Whether OpenCV reads these modules when segno draws them. In about one symbol of a thousand it finds nothing."""
    symbol = segno.QRCode(to_segno(encode(picture.text, picture.level), picture.level))  # type: ignore[call-arg]
    written = BytesIO()
    symbol.save(written, kind="png", scale=SAMPLES, border=QUIET_ZONE)
    return bool(_decode(np.asarray(Image.open(written).convert("L"))))


def _decode(seen: GrayImage) -> bytes:
    """What a symbol of 4 pixels a module says, nothing if it cannot be read."""
    start, end = QUIET_ZONE * SAMPLES, len(seen) - QUIET_ZONE * SAMPLES
    corners = np.array([[[start, start], [end, start], [end, end], [start, end]]], np.float32)
    found, _ = cv2.QRCodeDetector().decodeBytes(seen, corners)
    return found
