"""The position of a symbol in its image: whole pixels for every module, and the rest divided evenly around it."""

from dataclasses import dataclass
from math import ceil

from shared.errors import ImageTooSmall

QUIET_ZONE = 4
"""Modules of empty margin on every side: ISO/IEC 18004:2015, 6.3.8."""


@dataclass(frozen=True)
class Layout:
    """A symbol on a grid of pixels: pixels per module, and pixels before the first and after the last module."""

    size: int
    module: int
    before: int
    after: int


def fit(width: int, size: int) -> Layout:
    """Return the layout of the largest symbol of `width` modules that leaves its quiet zone in `size` pixels.

    Raise ImageTooSmall if a module would be smaller than a pixel.
    """
    module = size // (width + 2 * QUIET_ZONE)
    if module == 0:
        raise ImageTooSmall(width + 2 * QUIET_ZONE)
    margin = size - width * module
    return Layout(size, module, margin // 2, margin - margin // 2)


@dataclass(frozen=True)
class LogoBox:
    """The square that is cleared for a logo, in modules. It begins at `start` in both directions.

    `logo` is the longer side of the logo, in modules.
    """

    start: int
    width: int
    logo: float

    @property
    def area(self) -> tuple[slice, slice]:
        """The square as an index of an array of modules."""
        span = slice(self.start, self.start + self.width)
        return span, span


def logo_box(width: int, percent: int) -> LogoBox:
    """Return the smallest centered square that holds a logo of `percent` of the symbol's width."""
    logo = width * percent / 100
    cleared = ceil(logo)
    # A symbol is an odd number of modules wide. Only squares of an odd width have the same center.
    cleared += (width - cleared) % 2
    return LogoBox((width - cleared) // 2, cleared, logo)
