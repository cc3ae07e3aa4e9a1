"""Where a symbol stands in its picture: whole pixels for every module, and what is left over evenly around it."""

from dataclasses import dataclass
from math import ceil

from shared.errors import ImageTooSmall

QUIET_ZONE = 4
"""Modules of empty margin on every side: ISO/IEC 18004:2015, 6.3.8."""


@dataclass(frozen=True)
class Layout:
    """A symbol on a grid of pixels: the pixels along a module, and those before the first module."""

    size: int
    module: int
    before: int
    after: int


def fit(width: int, size: int) -> Layout:
    """The largest symbol of `width` modules that leaves its quiet zone in `size` pixels. Raises PictureTooSmall."""
    module = size // (width + 2 * QUIET_ZONE)
    if module == 0:
        raise ImageTooSmall(width + 2 * QUIET_ZONE)
    margin = size - width * module
    return Layout(size, module, margin // 2, margin - margin // 2)


@dataclass(frozen=True)
class LogoBox:
    """The square that is cleared for a logo, in whole modules: it begins at `start` in both directions."""

    start: int
    width: int
    logo: float  # the logo's longer side, in modules

    @property
    def area(self) -> tuple[slice, slice]:
        span = slice(self.start, self.start + self.width)
        return span, span


def logo_box(width: int, percent: int) -> LogoBox:
    """The smallest centred square that holds a logo of `percent` of the symbol's width."""
    logo = width * percent / 100
    cleared = ceil(logo)
    cleared += (width - cleared) % 2  # a symbol is an odd number of modules wide: only odd squares stand in its middle
    return LogoBox((width - cleared) // 2, cleared, logo)
