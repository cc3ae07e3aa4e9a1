"""Logos: a PNG or JPEG from a stranger, made into a small PNG of ours. Only pixels of the upload survive."""

import struct
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from shared.errors import InvalidLogo

MAX_BYTES = 1 << 20
MAX_PIXELS = 4_000_000
"""Of the upload, read from its header before anything is decoded: 16 MB in RGBA."""

MAX_SIDE = 600
"""What is kept: 30 % of the widest picture."""

MAX_SCANS = 64
"""Of a progressive JPEG, which has about ten. Each is a pass over all pixels: thousands of tiny ones take minutes."""

START_OF_SCAN = b"\xff\xda"  # never stands in coded data, where a zero follows every FF

DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)
"""What Pillow raises for a file that is cut short or forged."""


def sanitize_logo(data: bytes) -> bytes:
    """The logo as a PNG of at most 600 x 600: upright, RGBA, no metadata. Raises LogoRefused."""
    if len(data) > MAX_BYTES:
        raise InvalidLogo("must be at most 1 MiB")
    if data.count(START_OF_SCAN) > MAX_SCANS:
        raise InvalidLogo("is a JPEG of too many scans, or holds other pictures")
    try:
        with Image.open(BytesIO(data), formats=["PNG", "JPEG"]) as upload:
            _check(upload)
            pixels = _eight_bits(ImageOps.exif_transpose(upload)).convert("RGBA")
    except UnidentifiedImageError:
        raise InvalidLogo("must be a PNG or a JPEG") from None
    except Image.DecompressionBombError:
        raise InvalidLogo(f"must have at most {MAX_PIXELS:,} pixels") from None
    except DAMAGE:
        raise InvalidLogo("is damaged") from None
    pixels.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    bare = Image.frombytes("RGBA", pixels.size, pixels.tobytes())  # saving would copy what Pillow knows of the upload
    written = BytesIO()
    bare.save(written, "PNG")
    return written.getvalue()


def _check(upload: Image.Image) -> None:
    """Look at the header only."""
    if upload.width * upload.height > MAX_PIXELS:
        raise InvalidLogo(f"must have at most {MAX_PIXELS:,} pixels")
    if upload.format == "PNG" and getattr(upload, "is_animated", False):
        raise InvalidLogo("must not be animated")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits scaled down, which Pillow would clip."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
