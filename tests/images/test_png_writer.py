"""PNG: every pixel as expected, decoded by Pillow."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.images.image_spec import MAX_SIZE, MIN_SIZE, ImageSpec, Style
from shared.images.layout import fit
from shared.images.readback import is_readable
from shared.images.render import render
from shared.images.symbol import encode
from tests.images.sample_images import LOGO, colors

TEXT = "https://w.example/s/AbCdEfGhIjKl"
NAVY, IVORY = (0x10, 0x20, 0x60), (0xFF, 0xF8, 0xE0)
DARK, LIGHT = "#102060", "#FFF8E0"


def expected(size: int, foreground: tuple[int, ...], background: tuple[int, ...]) -> np.ndarray:
    """Return the image of TEXT, filled module by module."""
    modules = encode(TEXT, "M")
    layout = fit(len(modules), size)
    pixels = np.full((size, size, 3), background, np.uint8)
    for y, x in np.argwhere(modules):
        top, left = (layout.before + layout.module * at for at in (y, x))
        pixels[top : top + layout.module, left : left + layout.module] = foreground
    return pixels


@pytest.mark.parametrize("size", [MIN_SIZE, 101, 110, 111, 255, 256, 300, 409, 410, MAX_SIZE])
def test_every_pixel_is_exact(size: int) -> None:
    default = render(ImageSpec(TEXT, size=size))
    assert np.array_equal(colors(default), expected(size, (0, 0, 0), (255, 255, 255)))
    colored = render(ImageSpec(TEXT, size=size, foreground=DARK, background=LIGHT))
    assert np.array_equal(colors(colored), expected(size, NAVY, IVORY))


@settings(max_examples=30)
@given(st.integers(MIN_SIZE, MAX_SIZE), st.sampled_from(["squares", "dots", "rounded"]))
def test_the_size_is_exact(size: int, style: Style) -> None:
    with Image.open(BytesIO(render(ImageSpec(TEXT, size=size, style=style)))) as image:
        image.load()
        assert image.size == (size, size)


def test_two_colors_take_one_bit_per_pixel() -> None:
    png = render(ImageSpec(TEXT, size=410))
    with Image.open(BytesIO(png)) as image:
        assert image.mode == "1"
    assert len(png) < 1024


@pytest.mark.parametrize("logo", [None, LOGO])
@pytest.mark.parametrize("style", ["squares", "dots"])
@pytest.mark.parametrize("dpi", [72, 300, 2400])
def test_the_resolution_is_stated(dpi: int, style: Style, logo: bytes | None) -> None:
    spec = ImageSpec(TEXT, style=style, level="H", logo="0" * 64 if logo else None, dpi=dpi)
    with Image.open(BytesIO(render(spec, logo))) as image:
        assert image.info["dpi"] == pytest.approx((dpi, dpi), abs=0.1)


@pytest.mark.parametrize("style", ["dots", "rounded"])
def test_finder_patterns_and_margin_are_square(style: Style) -> None:
    pixels = colors(render(ImageSpec(TEXT, size=333, style=style)))
    square = expected(333, (0, 0, 0), (255, 255, 255))
    layout = fit(len(encode(TEXT, "M")), 333)
    finder = slice(0, layout.before + 7 * layout.module)
    assert np.array_equal(pixels[finder, finder], square[finder, finder])
    assert np.array_equal(pixels[: layout.before], square[: layout.before])
    assert np.array_equal(pixels[-layout.after :], square[-layout.after :])
    assert not np.array_equal(pixels, square)


@pytest.mark.parametrize("style", ["dots", "rounded"])
def test_the_center_of_a_styled_module_is_solid(style: Style) -> None:
    # Readers sample there.
    pixels = colors(render(ImageSpec(TEXT, size=410, style=style)))
    modules = encode(TEXT, "M")
    layout = fit(len(modules), 410)
    middles = layout.before + layout.module // 2 + layout.module * np.arange(len(modules))
    assert np.array_equal(pixels[np.ix_(middles, middles)][:, :, 0] == 0, modules)


def test_dots_have_less_ink_than_rounded_modules() -> None:
    dots, rounded = (colors(render(ImageSpec("a", size=290, style=style))) for style in ("dots", "rounded"))
    squares = colors(render(ImageSpec("a", size=290)))
    ink = [int((255 - pixels[:, :, 0].astype(int)).sum()) for pixels in (dots, rounded, squares)]
    assert ink[0] < ink[1] < ink[2]


@pytest.mark.parametrize("percent", [10, 20, 30])
@pytest.mark.parametrize("style", ["squares", "dots", "rounded"])
def test_a_logo_is_centered_on_a_cleared_square(style: Style, percent: int) -> None:
    spec = ImageSpec(
        TEXT, size=500, level="H", style=style, logo="0" * 64, logo_percent=percent, foreground=DARK, background=LIGHT
    )
    data = render(spec, LOGO)
    assert is_readable(spec, data)

    pixels = colors(data).astype(int)
    red = (pixels[:, :, 0] > 150) & (pixels[:, :, 1] < 100)
    ys, xs = np.nonzero(red)
    assert abs(ys.min() + ys.max() - 499) <= 2
    assert abs(xs.min() + xs.max() - 499) <= 2
    symbol = len(encode(TEXT, "H")) * fit(len(encode(TEXT, "H")), 500).module
    assert (xs.max() - xs.min()) / symbol == pytest.approx(percent / 100, abs=0.02)
    around = pixels[ys.min() : ys.max(), xs.min() : xs.max()].reshape(-1, 3)
    # No module is visible through the transparent part.
    assert not np.any(np.all(around == NAVY, axis=1))
