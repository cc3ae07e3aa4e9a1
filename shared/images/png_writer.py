"""A PNG writer for images with few different rows (PNG, third edition, W3C 2025)."""

import struct
from enum import IntEnum

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# A scanline is stored as its difference from the line above: repeated rows are zeros, and compress to nearly nothing.
FILTER_UP = 2
FASTEST = 1
METERS_PER_INCH = 0.0254
PER_METER = 1


class Kind(IntEnum):
    """The color types of PNG that Waymark uses."""

    GRAY = 0
    RGB = 2
    PALETTE = 3


def write(
    rows: NDArray[np.uint8],
    repeats: NDArray[np.intp],
    *,
    width: int,
    depth: int,
    kind: Kind,
    dpi: int,
    palette: bytes = b"",
) -> bytes:
    """Return a PNG in which row `i` occurs `repeats[i]` times.

    `rows` is n x bytes of a scanline, with `depth` bits per sample. `palette` is red, green, blue for each index of a
    PALETTE image. The PNG states `dpi` as its resolution in pixels per inch.
    """
    height = int(repeats.sum())
    pixels_per_meter = round(dpi / METERS_PER_INCH)
    lines = np.zeros((height, 1 + rows.shape[1]), np.uint8)
    lines[:, 0] = FILTER_UP
    first = np.cumsum(repeats) - repeats
    lines[first[0], 1:] = rows[0]
    # The difference is modulo 256, as the filter defines it.
    lines[first[1:], 1:] = rows[1:] - rows[:-1]
    return b"".join(
        (
            SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)),
            _chunk(b"pHYs", struct.pack(">IIB", pixels_per_meter, pixels_per_meter, PER_METER)),
            _chunk(b"PLTE", palette) if palette else b"",
            _chunk(b"IDAT", isal_zlib.compress(lines, FASTEST)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    crc = isal_zlib.crc32(data, isal_zlib.crc32(name))
    return b"".join((struct.pack(">I", len(data)), name, data, struct.pack(">I", crc)))
