"""Pictures of all kinds, read back by two decoders that share no code: not one may be unreadable.

Those with a logo are judged by the first alone, as in the service: OpenCV corrects fewer errors than level H allows.
Where OpenCV finds nothing in a plain picture, it must find nothing in segno's drawing of the same modules either.
"""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ImageTooSmall, TextTooLong
from shared.images.contrast import check_colors
from shared.images.image_spec import MAX_SIZE, MIN_SIZE, ErrorCorrection, Format, ImageSpec, Style, effective_level
from shared.images.readback import is_readable
from shared.images.render import render
from shared.images.symbol import encode, version
from tests.images.opencv_decoder import opencv_can_read, opencv_reads
from tests.images.sample_images import LOGO
from tests.images.symbol_capacity import ALPHABETS, text_of

LEVELS: tuple[ErrorCorrection, ...] = ("L", "M", "Q", "H")
STYLES: tuple[Style, ...] = ("squares", "dots", "rounded")
FORMATS: tuple[Format, ...] = ("png", "svg", "pdf")
BATCH, LONG_BATCHES = 100, 250
"""Pictures a test, and tests with --long: 25,000 in all."""


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
    st.sampled_from(LEVELS),
    st.integers(MIN_SIZE, MAX_SIZE),
)
def test_any_text_is_read_back(text: str, level: ErrorCorrection, size: int) -> None:
    picture = ImageSpec(text, level=level, size=size)
    try:
        data = render(picture)
    except ImageTooSmall as small:
        picture = replace(picture, size=small.smallest)
        data = render(picture)
    assert is_readable(picture, data)


def any_colors(chance: random.Random) -> tuple[str, str]:
    """Two that the rules let pass."""
    while True:
        foreground, background = (f"#{chance.randrange(1 << 24):06X}" for _ in range(2))
        if not check_colors(foreground, background):
            return foreground, background


def any_picture(chance: random.Random) -> ImageSpec:
    """One that can be drawn: short texts and plain PNGs are the most likely, as in life."""
    alphabet = chance.choice(list(ALPHABETS))
    text = text_of(int(1 + 900 * chance.random() ** 4), alphabet, chance.randrange(1 << 32))
    size = chance.choice((MIN_SIZE, MIN_SIZE + 1, MAX_SIZE - 1, MAX_SIZE, *(chance.randint(MIN_SIZE, 600),) * 30))
    picture = ImageSpec(text, size=size, level=chance.choice(LEVELS), format=chance.choice((*FORMATS, *("png",) * 7)))
    if chance.random() < 0.5:
        foreground, background = any_colors(chance)
        style = chance.choice(STYLES)
        picture = replace(picture, foreground=foreground, background=background, style=style)
    if chance.random() < 0.15:
        level = effective_level(picture.level, logo=True)
        picture = replace(picture, level=level, logo="0" * 64, logo_percent=chance.randint(10, 30))
    return picture


def read_by_both(picture: ImageSpec) -> bool:
    """False where only zxing-cpp could be asked."""
    logo = LOGO if picture.logo else None
    try:
        data = render(picture, logo)
    except TextTooLong:
        return True
    except ImageTooSmall as small:
        picture = replace(picture, size=small.smallest)
        data = render(picture, logo)
    read = is_readable(picture, data)
    if picture.logo is None:
        assert read, picture
        if opencv_reads(picture, data):
            return True
        assert not opencv_can_read(picture), picture
        return False
    if not read:  # a large logo hides too much of the two smallest symbols: the service refuses it, and ships nothing
        assert version(encode(picture.text, picture.level)) <= 2, picture
        assert picture.logo_percent > 20, picture
    return True


@pytest.mark.parametrize("batch", [pytest.param(n, marks=[pytest.mark.long] if n else []) for n in range(LONG_BATCHES)])
def test_pictures_are_read_by_both_decoders(batch: int) -> None:
    chance = random.Random(batch)
    unasked = [picture for picture in (any_picture(chance) for _ in range(BATCH)) if not read_by_both(picture)]
    assert len(unasked) <= BATCH // 20, unasked
