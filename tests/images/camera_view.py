"""PNGs as a camera would see them."""

from io import BytesIO

import numpy as np
import zxingcpp
from PIL import Image


def open_png(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data), formats=["PNG"])


def decode(data: bytes) -> tuple[str, str]:
    """Return text and error correction level of the only symbol in a PNG."""
    (barcode,) = zxingcpp.read_barcodes(np.asarray(open_png(data).convert("L")))
    return barcode.text, barcode.ec_level
