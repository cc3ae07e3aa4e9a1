"""A reader of PNGs with one bit per pixel, as images of square modules are: three times as fast as Pillow.

It shares only the standard with the writer (PNG, third edition, W3C 2025): it starts from the bytes and verifies every
checksum. Any other PNG is left to Pillow. The decision record 34 has the figures.
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = struct.Struct(">IIBBBBB")
GRAY, PALETTE = 0, 3
UP = 2
MAX_PIXELS = 2**26
BLACK_AND_WHITE = np.array([0, 255], np.uint8)


def read_gray(png: bytes) -> NDArray[np.uint8] | None:
    """Return the pixels, height x width, 0 for black. None if the PNG is of another kind or damaged."""
    chunks = list(_chunks(png))
    if not chunks or chunks[0][0] != b"IHDR" or chunks[-1] != (b"IEND", b"") or len(chunks[0][1]) != HEADER.size:
        return None
    width, height, depth, kind, *methods = HEADER.unpack(chunks[0][1])
    if depth != 1 or kind not in (GRAY, PALETTE) or any(methods) or not 0 < width * height <= MAX_PIXELS:
        return None
    levels = BLACK_AND_WHITE
    data = []
    for name, content in chunks[1:-1]:
        if name == b"IDAT":
            data.append(content)
        elif name == b"PLTE" and kind == PALETTE and len(content) == 6:
            levels = _luminance(content)
        elif name == b"pHYs":
            continue  # the resolution, which changes no pixel
        else:
            return None
    if kind == PALETTE and levels is BLACK_AND_WHITE:
        return None
    return _unpack(b"".join(data), width, height, levels)


def _unpack(data: bytes, width: int, height: int, levels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    line_bytes = 1 + (width + 7) // 8
    try:
        raw = zlib.decompress(data, bufsize=line_bytes * height)
    except zlib.error:
        return None
    if len(raw) != line_bytes * height:
        return None
    lines = np.frombuffer(raw, np.uint8).reshape(height, line_bytes)
    if not (lines[:, 0] == UP).all():
        return None
    # Each line is its difference from the line above.
    packed = np.add.accumulate(lines[:, 1:], axis=0, dtype=np.uint8)
    pixels: NDArray[np.uint8] = np.unpackbits(packed, axis=1, count=width)
    # The difference is modulo 256, so either level may be the lighter one.
    pixels *= levels[1] - levels[0]
    if levels[0]:
        pixels += levels[0]
    return pixels


def _luminance(palette: bytes) -> NDArray[np.uint8]:
    """Return the luminance of two colors: ITU-R BT.601, in the integers that Pillow uses."""
    red, green, blue = np.frombuffer(palette, np.uint8).reshape(2, 3).T.astype(np.uint32)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of every chunk, up to the first wrong length or checksum."""
    offset = len(SIGNATURE)
    if png[:offset] != SIGNATURE:
        return
    while offset + 12 <= len(png):
        length = int.from_bytes(png[offset : offset + 4], "big")
        end = offset + 8 + length
        if end + 4 > len(png) or zlib.crc32(png[offset + 4 : end]) != int.from_bytes(png[end : end + 4], "big"):
            return
        yield png[offset + 4 : offset + 8], png[offset + 8 : end]
        offset = end + 4
