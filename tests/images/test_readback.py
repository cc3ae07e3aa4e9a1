"""Verification accepts readable images and rejects all others."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from shared.images.image_spec import Format, ImageSpec, Style
from shared.images.readback import gray_pixels, is_readable
from shared.images.render import render
from tests.images.sample_images import colors, image_bytes

TEXT = "https://w.example/s/AbCdEfGhIjKl"


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_another_text_or_level_is_rejected(kind: Format) -> None:
    spec = ImageSpec(TEXT, kind)
    data = render(spec)
    assert is_readable(spec, data)
    assert not is_readable(replace(spec, text=TEXT[:-1]), data)
    assert not is_readable(replace(spec, level="Q"), data)


@pytest.mark.parametrize("style", ["squares", "dots"])
def test_an_unreadable_image_is_rejected(style: Style) -> None:
    spec = replace(ImageSpec(TEXT), style=style)
    pixels = colors(render(spec))

    ruined = pixels.copy()
    ruined[100:200, 60:240] = 255
    assert not is_readable(spec, image_bytes(Image.fromarray(ruined)))
    # Light on dark.
    assert not is_readable(spec, image_bytes(Image.fromarray(255 - pixels)))
    assert not is_readable(spec, image_bytes(Image.new("L", (300, 300), 255)))


@pytest.mark.parametrize(
    ("foreground", "background"),
    [("#949494", "#FFFFFF"), ("#FF0000", "#FFFFFF"), ("#000000", "#FF00FF"), ("#0000FF", "#00FF00")],
)
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_lowest_contrast_is_readable(kind: Format, foreground: str, background: str) -> None:
    for style in ("squares", "dots", "rounded"):
        spec = replace(ImageSpec(TEXT, kind, 410, foreground=foreground, background=background), style=style)
        assert is_readable(spec, render(spec)), style


def test_a_logo_of_30_percent_needs_level_h() -> None:
    spec = ImageSpec(TEXT * 3, size=410, level="L", logo="0" * 64, logo_percent=30)
    black = image_bytes(Image.new("RGBA", (60, 60), (0, 0, 0, 255)))
    assert not is_readable(spec, render(spec, black))
    high = replace(spec, level="H")
    assert is_readable(high, render(high, black))


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_gray_pixels_show_the_image_and_its_margin(kind: Format) -> None:
    spec = ImageSpec(TEXT, kind)
    pixels = gray_pixels(spec, render(spec))
    assert pixels.shape[0] == pixels.shape[1]
    assert set(np.unique(pixels[:8])) == {255}
    assert pixels.min() == 0
