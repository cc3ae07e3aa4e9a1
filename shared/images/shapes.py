"""The shapes of modules. A module is a square of which some corners are rounded by a quarter of a circle.

Which ones is a set of four bits, its *corners*: 0 is the whole square, 15 is a dot.
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
"""The darkest of the 16 shades from background to foreground that soften the edges of what is round."""

SAMPLES = 8  # along a pixel, to tell how much of it a shape covers


def corners(dark: Modules, style: Style) -> Corners:
    """The corners of every module that is dark. Finder patterns stay whole, whatever the style.

    Rounded modules flow into their neighbours: a corner is round where the module has no neighbour on either side.
    """
    if style == "squares":
        return np.zeros(dark.shape, np.uint8)
    if style == "dots":
        found = np.full(dark.shape, DOT, np.uint8)
    else:
        light = np.pad(~dark, 1, constant_values=True)
        above, below, left, right = light[:-2, 1:-1], light[2:, 1:-1], light[1:-1, :-2], light[1:-1, 2:]
        found = (
            TOP_LEFT * (above & left)
            + TOP_RIGHT * (above & right)
            + BOTTOM_RIGHT * (below & right)
            + BOTTOM_LEFT * (below & left)
        ).astype(np.uint8)
    found[finder_patterns(len(dark))] = 0
    return found


@lru_cache(maxsize=8)
def tiles(pixels: int) -> NDArray[np.uint8]:
    """How much of each pixel each shape covers, in shades: an array of 16 corners x pixels x pixels.

    All arithmetic is in integers, so that every machine draws the same.
    """
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
    drawn = np.empty((DOT + 1, pixels, pixels), np.uint8)
    for shape in range(DOT + 1):
        covered = np.ones((across, across), bool)
        for corner, quadrant in quadrants.items():
            if shape & corner:
                covered[quadrant] = disc[quadrant]
        samples = covered.reshape(pixels, SAMPLES, pixels, SAMPLES).sum(axis=(1, 3))
        drawn[shape] = (samples * SHADES + SAMPLES**2 // 2) // SAMPLES**2
    drawn.setflags(write=False)
    return drawn
