"""What a camera would make of a picture."""

from io import BytesIO

import numpy as np
import zxingcpp
from PIL import Image


def pixels(data: bytes) -> Image.Image:
    """A PNG, opened."""
    return Image.open(BytesIO(data), formats=["PNG"])


def seen(data: bytes) -> tuple[str, str]:
    """The text and the error correction level of the one symbol in a PNG."""
    (found,) = zxingcpp.read_barcodes(np.asarray(pixels(data).convert("L")))
    return found.text, found.ec_level
