"""The reader of one-bit PNGs: equal to Pillow, and None for other kinds and damaged files."""

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

PNG = render(ImageSpec("https://waymark.example/s/spy123"))


def by_pillow(png: bytes) -> Any:
    with Image.open(BytesIO(png)) as image:
        return np.asarray(image.convert("L"))


@given(st.integers(100, 700), st.sampled_from(["#000000", "#123456"]), st.sampled_from(["#FFFFFF", "#FFEECC"]))
def test_pixels_equal_pillows(size: int, foreground: str, background: str) -> None:
    png = render(ImageSpec("https://waymark.example/s/spy123", size=size, foreground=foreground, background=background))

    pixels = png_reader.read_gray(png)

    assert pixels is not None
    assert np.array_equal(pixels, by_pillow(png))


@pytest.mark.parametrize("spec", [ImageSpec("a", style="dots"), ImageSpec("a", style="rounded"), ImageSpec("a", "svg")])
def test_other_kinds_of_images_are_not_read(spec: ImageSpec) -> None:
    assert png_reader.read_gray(render(spec)) is None


def test_filters_of_another_writer_are_not_read() -> None:
    output = BytesIO()
    Image.fromarray(by_pillow(PNG)).convert("1").save(output, "PNG")

    assert png_reader.read_gray(output.getvalue()) is None
    assert np.array_equal(by_pillow(output.getvalue()), by_pillow(PNG))


def test_every_damaged_byte_is_detected() -> None:
    dice = random.Random(1)
    for offset in range(len(PNG)):
        damaged = bytearray(PNG)
        damaged[offset] ^= dice.randrange(1, 256)
        assert png_reader.read_gray(bytes(damaged)) is None, offset


@given(st.integers(0, len(PNG) - 1))
def test_a_truncated_file_is_not_read(length: int) -> None:
    assert png_reader.read_gray(PNG[:length]) is None


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_not_read(data: bytes) -> None:
    assert png_reader.read_gray(data) is None
    assert png_reader.read_gray(PNG[:33] + data) is None


def test_another_text_is_not_readable() -> None:
    assert is_readable(ImageSpec("https://waymark.example/s/spy123"), PNG)
    assert not is_readable(ImageSpec("https://waymark.example/s/spy124"), PNG)
