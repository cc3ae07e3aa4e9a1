"""The smallest change that makes a rejected appearance readable. Pure: the caller renders and decodes."""

from collections.abc import Callable
from dataclasses import replace

from shared.images.color_adjustment import darken
from shared.images.contrast import MIN_CONTRAST, contrast_ratio
from shared.images.customizations import Customization

MAX_TRIALS = 3
"""How many other appearances are rendered for one suggestion."""
MIN_LOGO_PERCENT = 10
CONTRASTS = (MIN_CONTRAST, 4.5, 7.0)
"""In this order: the least that is accepted, and those of text (WCAG 2.2, 1.4.3 and 1.4.6)."""

Suggestion = dict[str, str | int]


def suggest(rejected: Customization, is_readable: Callable[[Customization], bool]) -> Suggestion | None:
    """Return the fields to change, with their values, or None if no change was found.

    `is_readable` renders and decodes an appearance. It is called at most MAX_TRIALS times. A logo is made smaller if
    the colors can be used, and the foreground darker otherwise.
    """
    contrast = contrast_ratio(rejected.foreground_color, rejected.background_color)
    if rejected.logo_digest is not None and contrast >= MIN_CONTRAST:
        return _smaller_logo(rejected, is_readable)
    return _darker_foreground(rejected, is_readable)


def _darker_foreground(rejected: Customization, is_readable: Callable[[Customization], bool]) -> Suggestion | None:
    for ratio in CONTRASTS[:MAX_TRIALS]:
        color = darken(rejected.foreground_color, rejected.background_color, ratio)
        if color is None or color == rejected.foreground_color.upper():
            continue
        if is_readable(replace(rejected, foreground_color=color)):
            return {"foreground_color": color}
    return None


def _smaller_logo(rejected: Customization, is_readable: Callable[[Customization], bool]) -> Suggestion | None:
    """Return the largest size that a binary search finds. Its last trial is the smallest size if none was readable."""
    low, high, found = MIN_LOGO_PERCENT, rejected.logo_size_percent - 1, None
    for trial in range(1, MAX_TRIALS + 1):
        if low > high:
            break
        middle = low if trial == MAX_TRIALS and found is None else (low + high) // 2
        if is_readable(replace(rejected, logo_size_percent=middle)):
            low, found = middle + 1, middle
        else:
            high = middle - 1
    return None if found is None else {"logo_size_percent": found}
