"""The caption beside a code on its label, fitted into its box and truncated if necessary.

The font covers Latin, Greek, Cyrillic, Armenian and Georgian. A caption with other characters is replaced by the code
text, which is ASCII.
"""

import unicodedata
from collections.abc import Callable, Container
from dataclasses import dataclass

from shared.renders.label_templates import Caption

SIZES = (10.0, 8.0, 7.0, 6.0, 5.0)
"""In points. The largest that fits is used. Text below five points is illegible."""

LEADING = 1.2
ELLIPSIS = "\u2026"
RIGHT_TO_LEFT = ("R", "AL", "AN")

Measure = Callable[[str, float], float]
"""Return the width of a text at a size, both in points."""


@dataclass(frozen=True)
class FittedText:
    """Lines of text and their size in points."""

    size: float
    lines: tuple[str, ...]


def caption_text(kind: Caption | None, code: str, description: str, glyphs: Container[int]) -> str:
    """Return the caption on one line; empty without a caption. `glyphs` are the characters of the font."""
    if kind in (None, "none"):
        return ""
    text = " ".join("".join(c if c.isprintable() else " " for c in description).split())
    if kind == "code" or not text or not is_supported(text, glyphs):
        return code
    return text


def is_supported(text: str, glyphs: Container[int]) -> bool:
    """True if the font has every character, and none of them is written from right to left."""
    return all(ord(c) in glyphs and unicodedata.bidirectional(c) not in RIGHT_TO_LEFT for c in text)


def fit(text: str, width: float, height: float, measure: Measure) -> FittedText:
    """Fit the text into a box of this many points.

    It is whole at the largest size that fits, or truncated at the smallest size.
    """
    for size in SIZES:
        lines = _wrap(text, width, lambda part, size=size: measure(part, size))  # type: ignore[misc]
        max_lines = max(1, int(height / (size * LEADING)))
        if len(lines) <= max_lines:
            return FittedText(size, tuple(lines))
    *first, last = lines[:max_lines]
    while last and measure(last + ELLIPSIS, size) > width:
        last = last[:-1]
    return FittedText(size, (*first, last.rstrip() + ELLIPSIS))


def _wrap(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Break the text between words, and inside words that are wider than the box."""
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
