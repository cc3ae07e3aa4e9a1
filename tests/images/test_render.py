"""Where modules stand in a picture, what does not fit, and that drawing is deterministic."""

import subprocess
import sys
from dataclasses import replace

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
def test_modules_are_whole_pixels_and_the_rest_is_an_even_margin(width: int, size: int) -> None:
    if size < width + 2 * QUIET_ZONE:
        with pytest.raises(ImageTooSmall) as refused:
            fit(width, size)
        assert refused.value.smallest == width + 2 * QUIET_ZONE
        assert fit(width, refused.value.smallest).module == 1
        return
    layout = fit(width, size)
    assert layout.before + width * layout.module + layout.after == size
    assert QUIET_ZONE * layout.module <= layout.before <= layout.after <= layout.before + 1
    assert (width + 2 * QUIET_ZONE) * (layout.module + 1) > size  # no larger module would have fitted


@given(widths, st.integers(10, 30))
def test_a_logo_has_a_centred_square_of_whole_modules(width: int, percent: int) -> None:
    box = logo_box(width, percent)
    assert box.logo == pytest.approx(width * percent / 100)
    assert box.logo <= box.width < box.logo + 2
    assert 2 * box.start + box.width == width


@pytest.mark.parametrize("level", ["L", "M", "Q", "H"])
def test_a_code_of_12_characters_fits_the_smallest_size(level: ErrorCorrection) -> None:
    picture = ImageSpec(SHORT, size=MIN_SIZE, level=level)
    assert is_readable(picture, render(picture))


def test_a_picture_too_small_names_the_size_that_would_do() -> None:
    picture = ImageSpec("x" * 2000, size=100, level="L")
    with pytest.raises(ImageTooSmall) as refused:
        render(picture)
    assert f"{refused.value.smallest} pixels" in refused.value.faults[0].message
    fitting = replace(picture, size=refused.value.smallest)
    assert is_readable(fitting, render(fitting))


@pytest.mark.parametrize(
    "text", ["x" * (MAX_TEXT_BYTES + 1), "1" * (MAX_TEXT_BYTES + 1), "é" * (MAX_TEXT_BYTES // 2 + 1), "1" * 10**6]
)
def test_no_text_is_longer_than_a_symbol_of_bytes(text: str) -> None:
    with pytest.raises(TextTooLong) as refused:
        render(ImageSpec(text, level="L", size=2000))
    assert "2,953" in refused.value.faults[0].message


def test_the_level_is_the_one_asked_for() -> None:
    """`a` would fit level H in the same version as L: it is not boosted."""
    for level in ("L", "M", "Q", "H"):
        picture = ImageSpec("a", level=level)
        assert is_readable(picture, render(picture))
        assert not is_readable(replace(picture, level="L" if level == "H" else "H"), render(picture))


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
@pytest.mark.parametrize("style", ["squares", "dots", "rounded"])
def test_drawing_again_gives_the_same_bytes(kind: Format, style: Style) -> None:
    picture = ImageSpec(SHORT, kind, style=style, level="H", logo="0" * 64)
    code = (
        "import sys; from shared.images.image_spec import ImageSpec; from shared.images.render import render;"
        f"from tests.images.sample_images import LOGO; sys.stdout.buffer.write(render({picture!r}, LOGO))"
    )
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env={"TZ": "Asia/Tokyo"})
    assert elsewhere.stdout == render(picture, LOGO)


def test_a_logo_comes_with_its_picture() -> None:
    with pytest.raises(ValueError, match="logo"):
        render(ImageSpec("a"), LOGO)
    with pytest.raises(ValueError, match="logo"):
        render(ImageSpec("a", logo="0" * 64))
