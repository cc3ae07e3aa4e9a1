"""Rendering of a symbol as an SVG or a PDF. A module is size / (width + 8) long: the quiet zone is 4 modules.

segno writes the SVG, and Waymark adds round modules and a logo. Waymark writes the PDF itself: segno's contains the
time of day, supports neither round modules nor logos, and writes a color channel of 1 (of 255) as full intensity.
"""

from base64 import b64encode
from io import BytesIO
from types import SimpleNamespace

import segno
from PIL import Image

from shared.images import pdf_writer
from shared.images.contrast import rgb
from shared.images.image_spec import ImageSpec
from shared.images.layout import QUIET_ZONE, LogoBox
from shared.images.shapes import corners
from shared.images.symbol import Modules, version
from shared.images.vector_paths import PDF, SVG, path, rows


def render_svg(spec: ImageSpec, dark: Modules, box: LogoBox | None, logo: bytes | None) -> bytes:
    """Return an SVG of `size` user units (CSS pixels)."""
    foreground, background = (_format(color) for color in (spec.foreground, spec.background))
    shapes = corners(dark, spec.style)
    whole = dark & (shapes == 0)
    output = BytesIO()
    symbol = segno.QRCode(to_segno(whole, spec.level))  # type: ignore[call-arg]  # missing in segno's stub
    symbol.save(
        output,
        kind="svg",
        border=QUIET_ZONE,
        dark=foreground,
        light=background,
        xmldecl=False,
        svgclass=None,
        lineclass=None,
        # Writes a viewBox instead of width and height.
        omitsize=True,
        nl=False,
    )
    extras = []
    if spec.style != "squares":
        outline = path(dark & ~whole, shapes, SVG)
        extras.append(f'<path transform="translate({QUIET_ZONE} {QUIET_ZONE})" fill="{foreground}" d="{outline}"/>')
    if box is not None and logo is not None:
        start = QUIET_ZONE + (len(dark) - box.logo) / 2
        data = b64encode(logo).decode()
        extras.append(
            f'<image x="{start:g}" y="{start:g}" width="{box.logo:g}" height="{box.logo:g}"'
            f' href="data:image/png;base64,{data}"/>'
        )
    head, _, body = output.getvalue().decode().partition("<svg ")
    edges = ' shape-rendering="crispEdges"' if spec.style == "squares" else ""
    body = body.removesuffix("</svg>")
    return "".join((head, f'<svg width="{spec.size}" height="{spec.size}"{edges} ', body, *extras, "</svg>\n")).encode()


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
        return pdf_writer.write("\n".join(drawing), size)
    with Image.open(BytesIO(logo), formats=["PNG"]) as opened:
        image = opened.convert("RGBA")
    width, height = (box.logo * length / max(image.size) for length in image.size)
    middle = len(dark) / 2
    drawing.append(
        f"{width:g} 0 0 {-height:g} {middle - width / 2:g} {middle + height / 2:g} cm /{pdf_writer.IMAGE} Do"
    )
    return pdf_writer.write("\n".join(drawing), size, image)


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


def to_segno(modules: Modules, level: str) -> SimpleNamespace:
    """Return the object that `segno.QRCode` wraps. Its writers use neither the segments nor the mask."""
    matrix = tuple(map(bytearray, modules.view("uint8")))
    return SimpleNamespace(matrix=matrix, version=version(modules), error=level, mask=None, segments=())


def _format(color: str) -> str:
    """Return the color in lower case. Raise ValueError for any other text, so that no markup can reach the SVG."""
    return "#{:02x}{:02x}{:02x}".format(*rgb(color))
