"""Drawing a symbol as a PNG of exactly size x size pixels."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.images import png_writer
from shared.images.contrast import rgb
from shared.images.image_spec import ImageSpec
from shared.images.layout import Layout, LogoBox, fit
from shared.images.shapes import SHADES, corners, tiles
from shared.images.symbol import Modules

BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def render_png(picture: ImageSpec, dark: Modules, box: LogoBox | None, logo: bytes | None) -> bytes:
    """The picture of these modules, of which those in `box` are cleared already. Raises PictureTooSmall.

    Whole squares take one bit a pixel, round ones a palette of 16 shades, a logo true colors.
    """
    layout = fit(len(dark), picture.size)
    if picture.style == "squares" and logo is None:
        return _two_colors(picture, dark, layout)
    shades = _shade(picture, dark, layout)
    if logo is None or box is None:
        return _sixteen_shades(picture, shades)
    return _true_colors(picture, shades, layout, box, logo)


def _two_colors(picture: ImageSpec, dark: Modules, layout: Layout) -> bytes:
    """One bit a pixel, 1 for the background: gray levels where that is black on white, else a palette."""
    width = len(dark)
    rows = np.ones((width + 2, picture.size), np.uint8)  # the first and the last are margin
    rows[1:-1, layout.before : layout.before + width * layout.module] = np.repeat(~dark, layout.module, axis=1)
    repeats = np.full(width + 2, layout.module, np.intp)
    repeats[0], repeats[-1] = layout.before, layout.after
    foreground, background = rgb(picture.foreground), rgb(picture.background)
    plain = (foreground, background) == (BLACK, WHITE)
    return png_writer.write(
        np.packbits(rows, axis=1),
        repeats,
        width=picture.size,
        depth=1,
        kind=png_writer.Kind.GRAY if plain else png_writer.Kind.PALETTE,
        palette=b"" if plain else bytes((*foreground, *background)),
    )


def _shade(picture: ImageSpec, dark: Modules, layout: Layout) -> NDArray[np.uint8]:
    """Every pixel's shade, 0 (background) to 15 (foreground): an array of size x size."""
    drawn = tiles(layout.module)[corners(dark, picture.style)]  # module x module x pixel x pixel
    drawn[~dark] = 0
    across = len(dark) * layout.module
    return np.pad(drawn.transpose(0, 2, 1, 3).reshape(across, across), (layout.before, layout.after))


def _palette(picture: ImageSpec) -> NDArray[np.uint8]:
    """The 16 shades as red, green, blue."""
    foreground, background = (np.array(rgb(color)) for color in (picture.foreground, picture.background))
    part = np.arange(SHADES + 1)[:, None]
    return ((foreground * part + background * (SHADES - part) + SHADES // 2) // SHADES).astype(np.uint8)


def _sixteen_shades(picture: ImageSpec, shades: NDArray[np.uint8]) -> bytes:
    even = np.pad(shades, ((0, 0), (0, picture.size % 2)))
    packed: NDArray[np.uint8] = even[:, ::2] * np.uint8(16) + even[:, 1::2]
    return png_writer.write(
        packed,
        np.ones(picture.size, np.intp),
        width=picture.size,
        depth=4,
        kind=png_writer.Kind.PALETTE,
        palette=_palette(picture).tobytes(),
    )


def _true_colors(picture: ImageSpec, shades: NDArray[np.uint8], layout: Layout, box: LogoBox, logo: bytes) -> bytes:
    pixels = _palette(picture)[shades]
    image = _fitted(logo, max(1, int(box.logo * layout.module)), picture.background)
    middle = layout.before + (box.start + box.width / 2) * layout.module
    left, top = (int(middle - length / 2) for length in image.size)
    pixels[top : top + image.height, left : left + image.width] = np.asarray(image)
    return png_writer.write(
        pixels.reshape(picture.size, 3 * picture.size),
        np.ones(picture.size, np.intp),
        width=picture.size,
        depth=8,
        kind=png_writer.Kind.RGB,
    )


def _fitted(logo: bytes, longest: int, background: str) -> Image.Image:
    """The logo in RGB, its longer side so many pixels, on this ground where it is transparent."""
    with Image.open(BytesIO(logo), formats=["PNG"]) as opened:
        image = opened.convert("RGBA")
    scale = longest / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    return Image.alpha_composite(Image.new("RGBA", image.size, rgb(background)), image).convert("RGB")
