"""Colors that a camera can distinguish. Pure."""

import re
from functools import lru_cache

from shared.errors import FieldError

COLOR_PATTERN = r"^#[0-9A-Fa-f]{6}$"
MIN_CONTRAST = 3.0
"""WCAG 2.2, success criterion 1.4.11: the least contrast of a graphic with its background."""


@lru_cache(maxsize=64)
def rgb(color: str) -> tuple[int, int, int]:
    """Return red, green and blue of `#RRGGBB`, 0 to 255 each. Raise ValueError for any other text."""
    if not re.fullmatch(COLOR_PATTERN, color):
        raise ValueError("a color has the form #RRGGBB")
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def contrast_ratio(foreground: str, background: str) -> float:
    """Return the contrast of two colors, from 1.0 (none) to 21.0 (black on white). WCAG 2.2, "contrast ratio"."""
    darker, lighter = sorted((_luminance(foreground), _luminance(background)))
    return (lighter + 0.05) / (darker + 0.05)


def round_down(ratio: float) -> float:
    """Return the ratio with two decimals, as responses show it: 2.999 must not read as 3."""
    return int(ratio * 100) / 100


def _luminance(color: str) -> float:
    """Return the luminance of a color, from 0.0 (black) to 1.0 (white). WCAG 2.2, "relative luminance"."""
    red, green, blue = (_linear(channel / 255) for channel in rgb(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def check_colors(foreground: str, background: str) -> list[FieldError]:
    """Return what is wrong with these colors; empty if they can be used.

    The foreground must be darker: many readers cannot decode light modules on a dark background.
    """
    malformed = [
        FieldError(f"body.{field}", "Use a color such as #1A2B3C.")
        for field, color in (("foreground_color", foreground), ("background_color", background))
        if not re.fullmatch(COLOR_PATTERN, color)
    ]
    if malformed:
        return malformed
    if _luminance(foreground) > _luminance(background):
        return [FieldError("body.foreground_color", "Use a color that is darker than background_color.")]
    ratio = contrast_ratio(foreground, background)
    if ratio < MIN_CONTRAST:
        message = (
            f"Use a contrast of at least {MIN_CONTRAST} with background_color. This color has {round_down(ratio):.2f}."
        )
        return [FieldError("body.foreground_color", message)]
    return []
