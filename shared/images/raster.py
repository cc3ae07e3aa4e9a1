"""Rendering of a symbol as a PNG of exactly size x size pixels."""

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


def render_png(spec: ImageSpec, dark: Modules, box: LogoBox | None, logo: bytes | None) -> bytes:
    """Return the PNG of these modules. Those in `box` are already cleared. Raise ImageTooSmall.

    Square modules take one bit per pixel, round ones a palette of 16 shades, a logo true color.
    """
    layout = fit(len(dark), spec.size)
    if spec.style == "squares" and logo is None:
        return _two_colors(spec, dark, layout)
    shades = _shade(spec, dark, layout)
    if logo is None or box is None:
        return _sixteen_shades(spec, shades)
    return _true_colors(spec, shades, layout, box, logo)


def _two_colors(spec: ImageSpec, dark: Modules, layout: Layout) -> bytes:
    """Write one bit per pixel, 1 for the background: gray levels for black on white, else a palette."""
    width = len(dark)
    # The first and the last row are margin.
    rows = np.ones((width + 2, spec.size), np.uint8)
    rows[1:-1, layout.before : layout.before + width * layout.module] = np.repeat(~dark, layout.module, axis=1)
    repeats = np.full(width + 2, layout.module, np.intp)
    repeats[0], repeats[-1] = layout.before, layout.after
    foreground, background = rgb(spec.foreground), rgb(spec.background)
    is_gray = (foreground, background) == (BLACK, WHITE)
    return png_writer.write(
        np.packbits(rows, axis=1),
        repeats,
        width=spec.size,
        depth=1,
        dpi=spec.dpi,
        kind=png_writer.Kind.GRAY if is_gray else png_writer.Kind.PALETTE,
        palette=b"" if is_gray else bytes((*foreground, *background)),
    )


def _shade(spec: ImageSpec, dark: Modules, layout: Layout) -> NDArray[np.uint8]:
    """Return the shade of every pixel, 0 (background) to 15 (foreground), in an array of size x size."""
    # Axes: module row, module column, pixel row, pixel column.
    modules = tiles(layout.module)[corners(dark, spec.style)]
    modules[~dark] = 0
    across = len(dark) * layout.module
    return np.pad(modules.transpose(0, 2, 1, 3).reshape(across, across), (layout.before, layout.after))


def _palette(spec: ImageSpec) -> NDArray[np.uint8]:
    """Return the 16 shades as red, green, blue."""
    foreground, background = (np.array(rgb(color)) for color in (spec.foreground, spec.background))
    part = np.arange(SHADES + 1)[:, None]
    return ((foreground * part + background * (SHADES - part) + SHADES // 2) // SHADES).astype(np.uint8)


def _sixteen_shades(spec: ImageSpec, shades: NDArray[np.uint8]) -> bytes:
    even = np.pad(shades, ((0, 0), (0, spec.size % 2)))
    packed: NDArray[np.uint8] = even[:, ::2] * np.uint8(16) + even[:, 1::2]
    return png_writer.write(
        packed,
        np.ones(spec.size, np.intp),
        width=spec.size,
        depth=4,
        dpi=spec.dpi,
        kind=png_writer.Kind.PALETTE,
        palette=_palette(spec).tobytes(),
    )


def _true_colors(spec: ImageSpec, shades: NDArray[np.uint8], layout: Layout, box: LogoBox, logo: bytes) -> bytes:
    pixels = _palette(spec)[shades]
    image = _resize_logo(logo, max(1, int(box.logo * layout.module)), spec.background)
    middle = layout.before + (box.start + box.width / 2) * layout.module
    left, top = (int(middle - length / 2) for length in image.size)
    pixels[top : top + image.height, left : left + image.width] = np.asarray(image)
    return png_writer.write(
        pixels.reshape(spec.size, 3 * spec.size),
        np.ones(spec.size, np.intp),
        width=spec.size,
        depth=8,
        dpi=spec.dpi,
        kind=png_writer.Kind.RGB,
    )


def _resize_logo(logo: bytes, longest: int, background: str) -> Image.Image:
    """Return the logo in RGB on this background, with a longer side of `longest` pixels."""
    with Image.open(BytesIO(logo), formats=["PNG"]) as opened:
        image = opened.convert("RGBA")
    scale = longest / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    return Image.alpha_composite(Image.new("RGBA", image.size, rgb(background)), image).convert("RGB")
