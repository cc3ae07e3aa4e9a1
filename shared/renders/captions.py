"""The caption beside a code on its label, fitted into its box and truncated if necessary.

The font covers Latin, Greek, Cyrillic, Armenian and Georgian. A caption with other characters is replaced by the code
text, which is ASCII.
"""

import unicodedata
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from itertools import accumulate

from shared.renders.label_templates import Caption

SIZES = (10.0, 8.0, 7.0, 6.0, 5.0)
"""In points. The largest that fits is used. Text below five points is illegible."""

MAX_LENGTH = 1_200
"""In characters: what the label with the most room, of letter-2x5, holds at five points."""

LEADING = 1.2
ELLIPSIS = "\u2026"
RIGHT_TO_LEFT = ("R", "AL", "AN")

Measure = Callable[[str], float]
"""Return the width of a character, as a multiple of the size of the text."""


@dataclass(frozen=True)
class FittedText:
    """Lines of text and their size in points."""

    size: float
    lines: tuple[str, ...]


def caption_text(kind: Caption | None, code: str, description: str, glyphs: Container[int]) -> str:
    """Return the caption on one line, at most MAX_LENGTH characters; empty without a caption. `glyphs` are the
    characters of the font."""
    if kind in (None, "none"):
        return ""
    text = " ".join("".join(c if c.isprintable() else " " for c in description).split())
    if len(text) > MAX_LENGTH:
        text = text[: MAX_LENGTH - 1].rstrip() + ELLIPSIS
    if kind == "code" or not text or not is_supported(text, glyphs):
        return code
    return text


def is_supported(text: str, glyphs: Container[int]) -> bool:
    """True if the font has every character, and none of them is written from right to left."""
    return all(ord(c) in glyphs and unicodedata.bidirectional(c) not in RIGHT_TO_LEFT for c in text)


def fit(text: str, width: float, height: float, measure: Measure) -> FittedText:
    """Fit the text into a box of this many points, in linear time.

    It is whole at the largest size that fits, or truncated at the smallest size.
    """
    # The width of a part is the difference of two ends, so no character is measured twice.
    ends = [0.0, *accumulate(measure(c) for c in text)]
    for size in SIZES:
        max_lines = max(1, int(height / (size * LEADING)))
        lines = _wrap(text, ends, width / size, max_lines + 1)
        if len(lines) <= max_lines:
            return FittedText(size, tuple(text[start:end] for start, end in lines))
    start, end = lines[max_lines - 1]
    room = width / size - measure(ELLIPSIS)
    while end > start and ends[end] - ends[start] > room:
        end -= 1
    return FittedText(size, (*(text[a:b] for a, b in lines[: max_lines - 1]), text[start:end].rstrip() + ELLIPSIS))


def _wrap(text: str, ends: Sequence[float], room: float, max_lines: int) -> list[tuple[int, int]]:
    """Return start and end of up to `max_lines` lines: broken between words, and inside words that are wider than
    `room`. `ends` are the distances from the start of the text to the start of each character, and to the end."""
    lines: list[tuple[int, int]] = []
    start = space = 0
    for index, character in enumerate(text):
        if character == " ":
            space = index
            continue
        while ends[index + 1] - ends[start] > room and index > start:
            end, following = (space, space + 1) if space > start else (index, index)
            lines.append((start, end))
            if len(lines) == max_lines:
                return lines
            start = following
    return [*lines, (start, len(text))]
