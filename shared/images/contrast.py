"""Which pictures make sense: colors that a camera tells apart, and the level a logo calls for. Pure."""

import re
from functools import lru_cache

from shared.errors import FieldError
from shared.images.image_spec import ErrorCorrection

COLOR_PATTERN = r"^#[0-9A-Fa-f]{6}$"
MIN_CONTRAST = 3.0
"""WCAG 2.2, success criterion 1.4.11: what a graphic needs to be told from its background."""

MIN_LOGO_PERCENT, MAX_LOGO_PERCENT = 10, 30


def effective_level(asked: ErrorCorrection, *, logo: bool) -> ErrorCorrection:
    """The level to draw: as asked, but H where a logo covers modules."""
    return "H" if logo else asked


@lru_cache(maxsize=64)
def rgb(color: str) -> tuple[int, int, int]:
    """Red, green and blue, 0-255, of `#RRGGBB`; ValueError for anything else."""
    if not re.fullmatch(COLOR_PATTERN, color):
        raise ValueError("a color is written #RRGGBB")
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def contrast_ratio(foreground: str, background: str) -> float:
    """1.0 (none) to 21.0 (black on white): WCAG 2.2, "contrast ratio"."""
    darker, lighter = sorted((_luminance(foreground), _luminance(background)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    """0.0 (black) to 1.0 (white): WCAG 2.2, "relative luminance"."""
    red, green, blue = (_linear(channel / 255) for channel in rgb(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def check_colors(foreground: str, background: str) -> list[FieldError]:
    """What is wrong with these two, if anything. Many readers cannot take light modules on a dark ground."""
    faults = [
        FieldError(f"body.{field}", "must be a color such as #1A2B3C")
        for field, color in (("foreground_color", foreground), ("background_color", background))
        if not re.fullmatch(COLOR_PATTERN, color)
    ]
    if faults:
        return faults
    if _luminance(foreground) > _luminance(background):
        return [FieldError("body.foreground_color", "must be darker than background_color")]
    ratio = contrast_ratio(foreground, background)
    if ratio < MIN_CONTRAST:
        shown = int(ratio * 100) / 100  # rounded down: 2.999 is not 3
        message = f"has a contrast of {shown:.2f} with background_color; at least {MIN_CONTRAST} is needed"
        return [FieldError("body.foreground_color", message)]
    return []
