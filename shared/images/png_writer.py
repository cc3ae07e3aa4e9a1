"""A PNG writer for pictures made of few different rows (PNG, third edition, W3C 2025)."""

import struct
from enum import IntEnum

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
FILTER_UP = 2  # a scanline holds its difference from the one above: repeated rows are all zero, and compress to nothing
FASTEST = 1


class Kind(IntEnum):
    """PNG's color types that are used here."""

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
    palette: bytes = b"",
) -> bytes:
    """A PNG of `rows` (n x bytes of a scanline, `depth` bits a sample), the i-th of them repeated `repeats[i]` times.

    `palette` is red, green, blue for each index, where the kind is PALETTE.
    """
    height = int(repeats.sum())
    lines = np.zeros((height, 1 + rows.shape[1]), np.uint8)
    lines[:, 0] = FILTER_UP
    first = np.cumsum(repeats) - repeats
    lines[first[0], 1:] = rows[0]
    lines[first[1:], 1:] = rows[1:] - rows[:-1]  # modulo 256, as the filter wants it
    return b"".join(
        (
            SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)),
            _chunk(b"PLTE", palette) if palette else b"",
            _chunk(b"IDAT", isal_zlib.compress(lines, FASTEST)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    crc = isal_zlib.crc32(data, isal_zlib.crc32(name))
    return b"".join((struct.pack(">I", len(data)), name, data, struct.pack(">I", crc)))
