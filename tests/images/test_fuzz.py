"""Random images, decoded by two decoders that share no code. All must be readable.

Images with a logo are decoded by the first only, as in the service: OpenCV corrects fewer errors than level H allows.
If OpenCV cannot decode an image without a logo, it must fail for segno's rendering of the same modules too.
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
IMAGES = 40
LONG_BATCHES, BATCH_IMAGES = 250, 100
"""With --long: 25,000 images."""


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
    st.sampled_from(LEVELS),
    st.integers(MIN_SIZE, MAX_SIZE),
)
def test_any_text_is_readable(text: str, level: ErrorCorrection, size: int) -> None:
    spec = ImageSpec(text, level=level, size=size)
    try:
        data = render(spec)
    except ImageTooSmall as small:
        spec = replace(spec, size=small.smallest)
        data = render(spec)
    assert is_readable(spec, data)


def any_colors(chance: random.Random) -> tuple[str, str]:
    """Return two colors that the rules accept."""
    while True:
        foreground, background = (f"#{chance.randrange(1 << 24):06X}" for _ in range(2))
        if not check_colors(foreground, background):
            return foreground, background


def any_spec(chance: random.Random) -> ImageSpec:
    """Return a spec. Short texts and PNGs with the default appearance are the most likely, as in production."""
    alphabet = chance.choice(list(ALPHABETS))
    text = text_of(int(1 + 900 * chance.random() ** 4), alphabet, chance.randrange(1 << 32))
    size = chance.choice((MIN_SIZE, MIN_SIZE + 1, MAX_SIZE - 1, MAX_SIZE, *(chance.randint(MIN_SIZE, 600),) * 30))
    spec = ImageSpec(text, size=size, level=chance.choice(LEVELS), format=chance.choice((*FORMATS, *("png",) * 7)))
    if chance.random() < 0.5:
        foreground, background = any_colors(chance)
        style = chance.choice(STYLES)
        spec = replace(spec, foreground=foreground, background=background, style=style)
    if chance.random() < 0.15:
        level = effective_level(spec.level, logo=True)
        spec = replace(spec, level=level, logo="0" * 64, logo_percent=chance.randint(10, 30))
    return spec


def read_by_both(spec: ImageSpec) -> bool:
    """Return False if only zxing-cpp can decode segno's rendering of the same modules."""
    logo = LOGO if spec.logo else None
    try:
        data = render(spec, logo)
    except TextTooLong:
        return True
    except ImageTooSmall as small:
        spec = replace(spec, size=small.smallest)
        data = render(spec, logo)
    read = is_readable(spec, data)
    if spec.logo is None:
        assert read, spec
        if opencv_reads(spec, data):
            return True
        assert not opencv_can_read(spec), spec
        return False
    # A large logo covers too much of the two smallest versions. The service rejects such a customization.
    if not read:
        assert version(encode(spec.text, spec.level)) <= 2, spec
        assert spec.logo_percent > 20, spec
    return True


def check_random_images(seed: int, count: int) -> None:
    chance = random.Random(seed)
    undecided = [spec for spec in (any_spec(chance) for _ in range(count)) if not read_by_both(spec)]
    assert len(undecided) <= count // 20, undecided


def test_images_are_readable_by_both_decoders() -> None:
    check_random_images(0, IMAGES)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, LONG_BATCHES + 1))
def test_thousands_of_images_are_readable_by_both_decoders(seed: int) -> None:
    check_random_images(seed, BATCH_IMAGES)
