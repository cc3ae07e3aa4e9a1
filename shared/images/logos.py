"""Uploaded logos: a PNG or JPEG of any origin becomes a small PNG that contains only its pixels."""

import struct
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from shared.errors import InvalidLogo

FORMATS = ("PNG", "JPEG")
MAX_BYTES = 1 << 20
MAX_PIXELS = 4_000_000
"""Limit of the upload, 16 MB in RGBA. It is read from the header, before any pixel is decoded."""

MAX_SIDE = 600
"""Longest side of the stored logo, in pixels: 30 % of the widest image."""

MAX_SCANS = 64
"""Limit of a progressive JPEG. Usual files have about ten scans; thousands of tiny ones take minutes to decode."""

# This marker never occurs in coded data, where a zero follows every FF.
START_OF_SCAN = b"\xff\xda"

DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)
"""What Pillow raises for a truncated or forged file."""


def sanitize_logo(data: bytes) -> bytes:
    """Return the logo as a PNG of at most 600 x 600 pixels: upright, RGBA, no metadata. Raise InvalidLogo."""
    if len(data) > MAX_BYTES:
        raise InvalidLogo("must be at most 1 MiB")
    if data.count(START_OF_SCAN) > MAX_SCANS:
        raise InvalidLogo("is a JPEG of too many scans, or contains other images")
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as upload:
            _check_header(upload)
            pixels = _to_eight_bits(ImageOps.exif_transpose(upload)).convert("RGBA")
    except UnidentifiedImageError:
        raise InvalidLogo("must be a PNG or a JPEG") from None
    except Image.DecompressionBombError:
        raise InvalidLogo(f"must have at most {MAX_PIXELS:,} pixels") from None
    except DECODE_ERRORS:
        raise InvalidLogo("is damaged") from None
    pixels.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    # A new image: saving the upload's would copy the metadata that Pillow read from it.
    bare = Image.frombytes("RGBA", pixels.size, pixels.tobytes())
    output = BytesIO()
    bare.save(output, "PNG")
    return output.getvalue()


def _check_header(upload: Image.Image) -> None:
    if upload.width * upload.height > MAX_PIXELS:
        raise InvalidLogo(f"must have at most {MAX_PIXELS:,} pixels")
    if upload.format == "PNG" and getattr(upload, "is_animated", False):
        raise InvalidLogo("must not be animated")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit gray down to 8 bits. Pillow's own conversion would clip it."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
