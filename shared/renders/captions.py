"""What stands beside a code on its label: fitted, and cut off where it must be. The font covers Latin, Greek, Cyrillic,
Armenian and Georgian; a caption that it cannot set is replaced by the code, which it always can.
"""

import unicodedata
from collections.abc import Callable, Container
from dataclasses import dataclass

from shared.renders.label_templates import Caption

SIZES = (10.0, 8.0, 7.0, 6.0, 5.0)
"""In points, the largest that fits is taken. Below five nobody reads."""
LEADING = 1.2
ELLIPSIS = "\u2026"
RIGHT_TO_LEFT = ("R", "AL", "AN")

Measure = Callable[[str, float], float]
"""How wide a text is at a size, both in points."""


@dataclass(frozen=True)
class FittedText:
    """Lines of text, and their size in points."""

    size: float
    lines: tuple[str, ...]


def caption_text(kind: Caption | None, code: str, description: str, glyphs: Container[int]) -> str:
    """The caption's text on one line. `glyphs` are the characters that the font has."""
    if kind in (None, "none"):
        return ""
    text = " ".join("".join(c if c.isprintable() else " " for c in description).split())
    if kind == "code" or not text or not is_supported(text, glyphs):
        return code
    return text


def is_supported(text: str, glyphs: Container[int]) -> bool:
    """Whether the font has every character, and none of them needs shaping or runs from right to left."""
    return all(ord(c) in glyphs and unicodedata.bidirectional(c) not in RIGHT_TO_LEFT for c in text)


def fit(text: str, width: float, height: float, measure: Measure) -> FittedText:
    """The text in a box of this many points: as large as it can be whole, else cut off at the smallest size."""
    for size in SIZES:
        lines = _wrap(text, width, lambda part, size=size: measure(part, size))  # type: ignore[misc]
        most = max(1, int(height / (size * LEADING)))
        if len(lines) <= most:
            return FittedText(size, tuple(lines))
    kept = lines[:most]
    last = kept[-1]
    while last and measure(last + ELLIPSIS, size) > width:
        last = last[:-1]
    return FittedText(size, (*kept[:-1], last.rstrip() + ELLIPSIS))


def _wrap(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Break between words, and inside of those that are wider than the box."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if measure(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while measure(line) > width and len(line) > 1:
            cut = len(line) - 1
            while cut > 1 and measure(line[:cut]) > width:
                cut -= 1
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line] if line else lines
