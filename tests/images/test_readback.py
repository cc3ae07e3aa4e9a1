"""Reading back tells a good picture from a bad one."""

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
def test_a_picture_is_not_taken_for_another(kind: Format) -> None:
    picture = ImageSpec(TEXT, kind)
    data = render(picture)
    assert is_readable(picture, data)
    assert not is_readable(replace(picture, text=TEXT[:-1]), data)
    assert not is_readable(replace(picture, level="Q"), data)


@pytest.mark.parametrize("style", ["squares", "dots"])
def test_a_picture_nobody_could_read_is_told(style: Style) -> None:
    picture = replace(ImageSpec(TEXT), style=style)
    drawn = colors(render(picture))

    ruined = drawn.copy()
    ruined[100:200, 60:240] = 255
    assert not is_readable(picture, image_bytes(Image.fromarray(ruined)))
    assert not is_readable(picture, image_bytes(Image.fromarray(255 - drawn)))  # light on dark
    assert not is_readable(picture, image_bytes(Image.new("L", (300, 300), 255)))


@pytest.mark.parametrize(
    ("foreground", "background"),
    [("#949494", "#FFFFFF"), ("#FF0000", "#FFFFFF"), ("#000000", "#FF00FF"), ("#0000FF", "#00FF00")],
)
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_faintest_colors_allowed_are_read(kind: Format, foreground: str, background: str) -> None:
    for style in ("squares", "dots", "rounded"):
        picture = replace(ImageSpec(TEXT, kind, 410, foreground=foreground, background=background), style=style)
        assert is_readable(picture, render(picture)), style


def test_a_logo_that_hides_too_much_is_told() -> None:
    """Level L cannot bear a logo of 30 %; that is why a logo raises it to H."""
    picture = ImageSpec(TEXT * 3, size=410, level="L", logo="0" * 64, logo_percent=30)
    black = image_bytes(Image.new("RGBA", (60, 60), (0, 0, 0, 255)))
    assert not is_readable(picture, render(picture, black))
    high = replace(picture, level="H")
    assert is_readable(high, render(high, black))


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_bytes_are_looked_at_and_not_what_they_should_be(kind: Format) -> None:
    picture = ImageSpec(TEXT, kind)
    seen = gray_pixels(picture, render(picture))
    assert seen.shape[0] == seen.shape[1]
    assert set(np.unique(seen[:8])) == {255}
    assert seen.min() == 0
