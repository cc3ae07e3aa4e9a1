"""Uploaded logos: a PNG or JPEG of any origin becomes a small PNG that contains only its pixels."""

import struct
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
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

DEPTH_OFFSET = 24
"""Position in a PNG of its bits per sample."""

# This marker never occurs in coded data, where a zero follows every FF.
START_OF_SCAN = b"\xff\xda"

DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)
"""What Pillow raises for a truncated or forged file."""


def sanitize_logo(data: bytes) -> bytes:
    """Return the logo as a PNG of at most 600 x 600 pixels: upright, RGBA, no metadata. Raise InvalidLogo."""
    if len(data) > MAX_BYTES:
        raise InvalidLogo("Use a file of at most 1 MiB.")
    if data.count(START_OF_SCAN) > MAX_SCANS:
        raise InvalidLogo("Use a JPEG with fewer scans, which contains no other images.")
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as upload:
            _check_header(upload)
            pixels = ImageOps.exif_transpose(_to_rgba(upload, data))
    except UnidentifiedImageError:
        raise InvalidLogo("Use a PNG or a JPEG.") from None
    except Image.DecompressionBombError:
        raise InvalidLogo(f"Use an image of at most {MAX_PIXELS:,} pixels.") from None
    except DECODE_ERRORS:
        raise InvalidLogo("This file is damaged. Export it again.") from None
    pixels.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    # A new image: saving the upload's would copy the metadata that Pillow read from it.
    bare = Image.frombytes("RGBA", pixels.size, pixels.tobytes())
    output = BytesIO()
    bare.save(output, "PNG")
    return output.getvalue()


def _check_header(upload: Image.Image) -> None:
    if upload.width * upload.height > MAX_PIXELS:
        raise InvalidLogo(f"Use an image of at most {MAX_PIXELS:,} pixels.")
    if upload.format == "PNG" and getattr(upload, "is_animated", False):
        raise InvalidLogo("Use an image that is not animated.")


def _to_rgba(upload: Image.Image, data: bytes) -> Image.Image:
    """Return 8 bits per channel. Where a PNG names a transparent color (chunk tRNS), its pixels become transparent.

    Pillow compares that color with samples that it has already scaled to 8 bits.
    """
    color = upload.info.get("transparency")
    if upload.format != "PNG" or upload.mode in ("1", "P", "LA", "RGBA"):
        return upload.convert("RGBA")
    depth = data[DEPTH_OFFSET]
    if depth == 16:
        samples = _sixteen_bits(upload, data)
        image = Image.fromarray((samples >> 8).astype(np.uint8).squeeze()).convert("RGBA")
        if color is not None:
            is_transparent = (samples == np.array(color)).all(axis=2)
            image.putalpha(Image.fromarray(np.where(is_transparent, 0, 255).astype(np.uint8)))
        image.info = upload.info
        return image
    if color is not None and upload.mode == "L":
        upload.info["transparency"] = color * 255 // (2**depth - 1)
    return upload.convert("RGBA")


def _sixteen_bits(upload: Image.Image, data: bytes) -> NDArray[np.uint16]:
    """Return the samples of a PNG with 16 bits, height x width x channels."""
    if upload.mode != "RGB":
        return np.asarray(upload).astype(np.uint16)[:, :, None]
    # Pillow reads the upper byte of each sample, and as little-endian samples the lower one.
    with Image.open(BytesIO(data), formats=["PNG"]) as lower:
        lower.tile = [tile._replace(args="RGB;16L") for tile in lower.tile]
        samples: NDArray[np.uint16] = (np.asarray(upload).astype(np.uint16) << 8) + np.asarray(lower)
    return samples
