"""Rendering of a symbol as an SVG or a PDF. A module is size / (width + 8) long: the quiet zone is 4 modules.

In an SVG, every dark area of square modules is one filled outline, which cutters and print shops take as it is. segno
would stroke each row of modules. Its PDF contains the time of day, and it supports neither round modules nor logos.
"""

from base64 import b64encode
from io import BytesIO

from PIL import Image

from shared.images import pdf_writer
from shared.images.contrast import rgb
from shared.images.image_spec import ImageSpec
from shared.images.layout import QUIET_ZONE, LogoBox
from shared.images.shapes import corners
from shared.images.symbol import Modules
from shared.images.vector_paths import PDF, SVG, outlines, path, rows


def render_svg(spec: ImageSpec, dark: Modules, box: LogoBox | None, logo: bytes | None) -> bytes:
    """Return an SVG of `size` user units (CSS pixels)."""
    foreground, background = (_format(color) for color in (spec.foreground, spec.background))
    shapes = corners(dark, spec.style)
    whole = dark & (shapes == 0)
    modules = outlines(whole)
    if spec.style != "squares":
        modules += path(dark & ~whole, shapes, SVG)
    total = len(dark) + 2 * QUIET_ZONE
    image = ""
    if box is not None and logo is not None:
        start = (len(dark) - box.logo) / 2
        data = f"data:image/png;base64,{b64encode(logo).decode()}"
        # Programs that read SVG 1.1 only know xlink:href.
        image = (
            f'<image x="{start:g}" y="{start:g}" width="{box.logo:g}" height="{box.logo:g}"'
            f' href="{data}" xlink:href="{data}"/>'
        )
    links = ' xmlns:xlink="http://www.w3.org/1999/xlink"' if image else ""
    edges = ' shape-rendering="crispEdges"' if spec.style == "squares" else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg"{links} width="{spec.size}" height="{spec.size}"'
        f' viewBox="0 0 {total} {total}"{edges}><path fill="{background}" d="M0 0H{total}V{total}H0Z"/>'
        f'<g transform="translate({QUIET_ZONE} {QUIET_ZONE})">'
        f'<path fill="{foreground}" fill-rule="evenodd" d="{modules}"/>{image}</g></svg>\n'
    ).encode()


def render_pdf(spec: ImageSpec, dark: Modules, box: LogoBox | None, logo: bytes | None) -> bytes:
    """Return a PDF of one page, `size` points (1/72 inch) wide and high."""
    size, total = spec.size, len(dark) + 2 * QUIET_ZONE
    drawing = [
        f"{pdf_color(spec.background)} rg 0 0 {size} {size} re f",
        # From here on, coordinates are modules, and y grows downward.
        f"{size / total:.6f} 0 0 {-size / total:.6f} 0 {size} cm 1 0 0 1 {QUIET_ZONE} {QUIET_ZONE} cm",
        pdf_modules(spec, dark),
    ]
    if box is None or logo is None:
        return pdf_writer.write("\n".join(drawing), (size, size))
    with Image.open(BytesIO(logo), formats=["PNG"]) as opened:
        image = opened.convert("RGBA")
    width, height = (box.logo * length / max(image.size) for length in image.size)
    middle = len(dark) / 2
    drawing.append(
        f"{width:g} 0 0 {-height:g} {middle - width / 2:g} {middle + height / 2:g} cm /{pdf_writer.IMAGE} Do"
    )
    return pdf_writer.write("\n".join(drawing), (size, size), image)


def pdf_modules(spec: ImageSpec, dark: Modules) -> str:
    """Return PDF operators that fill the dark modules, as one path.

    A module is one unit. The origin is the symbol's upper left corner, and y grows downward.
    """
    shapes = corners(dark, spec.style)
    whole = dark & (shapes == 0)
    round_modules = "" if spec.style == "squares" else path(dark & ~whole, shapes, PDF)
    return "\n".join((f"{pdf_color(spec.foreground)} rg", rows(whole, "%d %d %d 1 re "), round_modules, "f"))


def pdf_color(color: str) -> str:
    """Return red, green and blue as operands of PDF's `rg`."""
    return " ".join(f"{channel / 255:.4g}" for channel in rgb(color))


def _format(color: str) -> str:
    """Return the color in lower case. Raise ValueError for any other text, so that no markup can reach the SVG."""
    return "#{:02x}{:02x}{:02x}".format(*rgb(color))
