"""The reader of one-bit PNGs sees what Pillow sees, and leaves alone what it does not know."""

import random
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shared.images import png_reader
from shared.images.image_spec import ImageSpec
from shared.images.readback import is_readable
from shared.images.render import render

PLAIN = render(ImageSpec("https://waymark.example/s/spy123"))


def by_pillow(png: bytes) -> Any:
    with Image.open(BytesIO(png)) as image:
        return np.asarray(image.convert("L"))


@given(st.integers(100, 700), st.sampled_from(["#000000", "#123456"]), st.sampled_from(["#FFFFFF", "#FFEECC"]))
def test_it_sees_what_pillow_sees(size: int, foreground: str, background: str) -> None:
    png = render(ImageSpec("https://waymark.example/s/spy123", size=size, foreground=foreground, background=background))

    seen = png_reader.read_gray(png)

    assert seen is not None
    assert np.array_equal(seen, by_pillow(png))


@pytest.mark.parametrize(
    "picture", [ImageSpec("a", style="dots"), ImageSpec("a", style="rounded"), ImageSpec("a", "svg")]
)
def test_what_has_more_than_two_colors_is_left_to_others(picture: ImageSpec) -> None:
    assert png_reader.read_gray(render(picture)) is None


def test_a_png_by_another_writer_is_left_to_others_or_seen_alike() -> None:
    written = BytesIO()
    Image.fromarray(by_pillow(PLAIN)).convert("1").save(written, "PNG")

    seen = png_reader.read_gray(written.getvalue())

    assert seen is None or np.array_equal(seen, by_pillow(PLAIN))


def test_no_damaged_byte_goes_unseen() -> None:
    """Any one byte changed: a checksum tells, wherever it is."""
    dice = random.Random(1)
    for place in range(len(PLAIN)):
        damaged = bytearray(PLAIN)
        damaged[place] ^= dice.randrange(1, 256)
        assert png_reader.read_gray(bytes(damaged)) is None, place


@given(st.integers(0, len(PLAIN) - 1))
def test_what_is_cut_short_is_not_seen(length: int) -> None:
    assert png_reader.read_gray(PLAIN[:length]) is None


@given(st.binary(max_size=200))
def test_anything_may_come(data: bytes) -> None:
    png_reader.read_gray(data)
    png_reader.read_gray(PLAIN[:33] + data)


def test_another_text_is_not_read_back() -> None:
    assert is_readable(ImageSpec("https://waymark.example/s/spy123"), PLAIN)
    assert not is_readable(ImageSpec("https://waymark.example/s/spy124"), PLAIN)
