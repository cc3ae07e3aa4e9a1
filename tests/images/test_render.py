"""Layout of modules, images that do not fit, and deterministic rendering."""

import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ImageTooSmall, TextTooLong
from shared.images.image_spec import MAX_SIZE, MAX_TEXT_BYTES, MIN_SIZE, ErrorCorrection, Format, ImageSpec, Style
from shared.images.layout import QUIET_ZONE, fit, logo_box
from shared.images.readback import is_readable
from shared.images.render import render
from tests.images.sample_images import LOGO

widths = st.integers(1, 40).map(lambda version: 17 + 4 * version)
SHORT = "https://w.example/s/AbCdEfGhIjKl"


@given(widths, st.integers(MIN_SIZE, MAX_SIZE))
def test_modules_are_whole_pixels_in_an_even_margin(width: int, size: int) -> None:
    if size < width + 2 * QUIET_ZONE:
        with pytest.raises(ImageTooSmall) as rejected:
            fit(width, size)
        assert rejected.value.smallest == width + 2 * QUIET_ZONE
        assert fit(width, rejected.value.smallest).module == 1
        return
    layout = fit(width, size)
    assert layout.before + width * layout.module + layout.after == size
    assert QUIET_ZONE * layout.module <= layout.before <= layout.after <= layout.before + 1
    # No larger module would fit.
    assert (width + 2 * QUIET_ZONE) * (layout.module + 1) > size


@given(widths, st.integers(10, 30))
def test_a_logo_box_is_centered_whole_modules(width: int, percent: int) -> None:
    box = logo_box(width, percent)
    assert box.logo == pytest.approx(width * percent / 100)
    assert box.logo <= box.width < box.logo + 2
    assert 2 * box.start + box.width == width


@pytest.mark.parametrize("level", ["L", "M", "Q", "H"])
def test_a_code_of_12_characters_fits_100_pixels(level: ErrorCorrection) -> None:
    spec = ImageSpec(SHORT, size=MIN_SIZE, level=level)
    assert is_readable(spec, render(spec))


def test_a_too_small_image_names_the_smallest_size() -> None:
    spec = ImageSpec("x" * 2000, size=100, level="L")
    with pytest.raises(ImageTooSmall) as rejected:
        render(spec)
    assert f"{rejected.value.smallest} pixels" in rejected.value.field_errors[0].message
    fitting = replace(spec, size=rejected.value.smallest)
    assert is_readable(fitting, render(fitting))


@pytest.mark.parametrize(
    "text", ["x" * (MAX_TEXT_BYTES + 1), "1" * (MAX_TEXT_BYTES + 1), "é" * (MAX_TEXT_BYTES // 2 + 1), "1" * 10**6]
)
def test_a_text_beyond_the_byte_capacity_is_rejected(text: str) -> None:
    with pytest.raises(TextTooLong) as rejected:
        render(ImageSpec(text, level="L", size=2000))
    assert "2,953" in rejected.value.field_errors[0].message


def test_the_level_is_not_raised() -> None:
    # `a` fits level H in the same version as L.
    for level in ("L", "M", "Q", "H"):
        spec = ImageSpec("a", level=level)
        assert is_readable(spec, render(spec))
        assert not is_readable(replace(spec, level="L" if level == "H" else "H"), render(spec))


SPECS = [
    ImageSpec(SHORT, kind, style=style, level="H", logo="0" * 64)
    for kind, style in product(get_args(Format), get_args(Style))
]
RENDER_AGAIN = """
from hashlib import sha256
from shared.images.render import render
from tests.images.sample_images import LOGO
from tests.images.test_render import SPECS
print(*(sha256(render(spec, LOGO)).hexdigest() for spec in SPECS))
"""


def test_another_process_renders_the_same_bytes() -> None:
    other = subprocess.run(
        [sys.executable, "-c", RENDER_AGAIN], capture_output=True, check=True, text=True, env={"TZ": "Asia/Tokyo"}
    )
    assert other.stdout.split() == [sha256(render(spec, LOGO)).hexdigest() for spec in SPECS]


def test_a_logo_requires_its_digest_and_vice_versa() -> None:
    with pytest.raises(ValueError, match="logo"):
        render(ImageSpec("a"), LOGO)
    with pytest.raises(ValueError, match="logo"):
        render(ImageSpec("a", logo="0" * 64))
