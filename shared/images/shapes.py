"""The shapes of modules. A module is a square of which some corners are rounded by a quarter of a circle.

Four bits say which corners are round: 0 is the whole square, 15 is a dot.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.images.image_spec import Style
from shared.images.symbol import Modules, finder_patterns

Corners = NDArray[np.uint8]

TOP_LEFT, TOP_RIGHT, BOTTOM_RIGHT, BOTTOM_LEFT = 1, 2, 4, 8
DOT = 15
SHADES = 15
"""The darkest of the 16 shades between background and foreground. They smooth the edges of round modules."""

SAMPLES = 8
"""Samples along a pixel, to measure how much of it a shape covers."""


def corners(dark: Modules, style: Style) -> Corners:
    """Return the round corners of every module. Finder patterns stay square in every style.

    Adjacent rounded modules merge: a corner is round if the module has no neighbor on either side of it.
    """
    if style == "squares":
        return np.zeros(dark.shape, np.uint8)
    if style == "dots":
        round_corners = np.full(dark.shape, DOT, np.uint8)
    else:
        light = np.pad(~dark, 1, constant_values=True)
        above, below, left, right = light[:-2, 1:-1], light[2:, 1:-1], light[1:-1, :-2], light[1:-1, 2:]
        round_corners = (
            TOP_LEFT * (above & left)
            + TOP_RIGHT * (above & right)
            + BOTTOM_RIGHT * (below & right)
            + BOTTOM_LEFT * (below & left)
        ).astype(np.uint8)
    round_corners[finder_patterns(len(dark))] = 0
    return round_corners


@lru_cache(maxsize=8)
def tiles(pixels: int) -> NDArray[np.uint8]:
    """Return how much of each pixel each shape covers, in shades: an array of 16 shapes x pixels x pixels."""
    # Integers only, so that every machine computes the same shades.
    across = pixels * SAMPLES
    offset = 2 * np.arange(across, dtype=np.int64) + 1 - across
    disc = offset[:, None] ** 2 + offset[None, :] ** 2 <= across**2
    half = across // 2
    quadrants = {
        TOP_LEFT: np.s_[:half, :half],
        TOP_RIGHT: np.s_[:half, half:],
        BOTTOM_RIGHT: np.s_[half:, half:],
        BOTTOM_LEFT: np.s_[half:, :half],
    }
    shades = np.empty((DOT + 1, pixels, pixels), np.uint8)
    for shape in range(DOT + 1):
        covered = np.ones((across, across), bool)
        for corner, quadrant in quadrants.items():
            if shape & corner:
                covered[quadrant] = disc[quadrant]
        samples = covered.reshape(pixels, SAMPLES, pixels, SAMPLES).sum(axis=(1, 3))
        shades[shape] = (samples * SHADES + SAMPLES**2 // 2) // SAMPLES**2
    shades.setflags(write=False)
    return shades
