"""The nearest darker or lighter color with a contrast. Pure."""

from collections.abc import Callable

from shared.images.contrast import contrast_ratio, rgb

STEPS = 1_000
"""Between a color and black or white: finer than the 255 steps of a channel."""


def darken(color: str, background: str, ratio: float) -> str | None:
    """Return the color if it has this contrast with a lighter background, else the nearest darker one of its hue.

    None if not even black has it.
    """
    return _nearest(color, background, ratio, lambda channel, share: round(channel * (1 - share)))


def lighten(color: str, background: str, ratio: float) -> str | None:
    """Return the color if it has this contrast with a darker background, else the nearest lighter one of its hue.

    None if not even white has it.
    """
    return _nearest(color, background, ratio, lambda channel, share: round(channel + (255 - channel) * share))


def _nearest(color: str, background: str, ratio: float, mix: Callable[[int, float], int]) -> str | None:
    channels, toward_end = rgb(color), rgb("#000000") if mix(255, 1) == 0 else rgb("#FFFFFF")
    end_is_darker = toward_end == (0, 0, 0)

    def at(step: int) -> str:
        return "#{:02X}{:02X}{:02X}".format(*(mix(channel, step / STEPS) for channel in channels))

    def suffices(step: int) -> bool:
        candidate = at(step)
        is_darker = contrast_ratio(candidate, "#FFFFFF") >= contrast_ratio(background, "#FFFFFF")
        return is_darker == end_is_darker and contrast_ratio(candidate, background) >= ratio

    # Contrast grows with every step once the color is on the right side of the background.
    low, high = 0, STEPS
    if not suffices(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle + 1, high)
    return at(low)
