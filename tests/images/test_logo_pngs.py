"""Every kind of PNG as a logo: color type x bits per sample x transparent color x interlace (PNG, third edition)."""

import struct
import zlib
from io import BytesIO
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shared.images.logos import sanitize_logo

GRAY, RGB, PALETTE, GRAY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGB_ALPHA: 4}
DEPTHS = {GRAY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GRAY_ALPHA: (8, 16), RGB_ALPHA: (8, 16)}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column, first row, and distances between columns and rows of each pass."""

Samples = NDArray[np.int64]


def write(samples: Samples, kind: int, depth: int, chunks: bytes, *, interlaced: bool) -> bytes:
    """Return a PNG of these samples, height x width x channels."""
    height, width = samples.shape[:2]
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    data = b"".join(pack(samples[y::down, x::across], depth) for x, y, across, down in passes)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    body = chunk(b"IHDR", header) + chunks + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def pack(lines: Samples, depth: int) -> bytes:
    """Return the scanlines, each with filter 0."""
    if not lines.size:
        return b""
    bits = lines.reshape(len(lines), -1, 1) >> np.arange(depth - 1, -1, -1) & 1
    packed = np.packbits(bits.reshape(len(lines), -1).astype(np.uint8), axis=1)
    return b"".join(b"\0" + line.tobytes() for line in packed)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("kind", "depth", "transparent"),
    [
        (kind, depth, transparent)
        for kind, depths in DEPTHS.items()
        for depth, transparent in product(depths, (False, True))
        if not (transparent and kind in (GRAY_ALPHA, RGB_ALPHA))
    ],
)
def test_colors_and_transparency_are_those_of_the_file(
    kind: int, depth: int, transparent: bool, interlaced: bool
) -> None:
    random = np.random.default_rng(1)
    samples = random.integers(0, 2**depth, (9, 11, CHANNELS[kind]))
    samples[0] = samples[0, 0]
    if depth == 16:
        # Differs from the transparent color in the lowest bit.
        samples[1, 0] = samples[0, 0]
        samples[1, 0, 0] ^= 1
    chunks = b""
    if kind == PALETTE:
        palette = random.integers(0, 256, (2**depth, 3))
        opacity = np.full(2**depth, 255)
        chunks = chunk(b"PLTE", palette.astype(np.uint8).tobytes())
        if transparent:
            opacity[:2] = 0, 128
            chunks += chunk(b"tRNS", bytes([0, 128]))
        colors, alpha = palette[samples[..., 0]], opacity[samples[..., 0]]
    else:
        scaled = samples >> 8 if depth == 16 else np.rint(samples * 255 / (2**depth - 1)).astype(int)
        has_alpha = kind in (GRAY_ALPHA, RGB_ALPHA)
        colors = np.broadcast_to(scaled[..., : CHANNELS[kind] - has_alpha], (9, 11, 3))
        alpha = scaled[..., -1] if has_alpha else np.full((9, 11), 255)
        if transparent:
            color = samples[0, 0]
            chunks = chunk(b"tRNS", color.astype(">u2").tobytes())
            alpha = np.where((samples == color).all(axis=2), 0, 255)

    logo = sanitize_logo(write(samples, kind, depth, chunks, interlaced=interlaced))

    pixels = np.asarray(Image.open(BytesIO(logo))).astype(int)
    assert np.array_equal(pixels[..., 3], alpha)
    assert np.abs(pixels[..., :3] - colors)[alpha > 0].max(initial=0) <= 1
