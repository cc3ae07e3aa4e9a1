"""Drawing a symbol as an SVG or a PDF. A module is size / (width + 8) long: the quiet zone is exactly 4 modules.

segno writes the SVG, to which round modules and a logo are added. The PDF is ours: segno's bears the time of day, has
no place for either, and takes a color channel of 1 of 255 for a full one.
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


def render_svg(picture: ImageSpec, dark: Modules, box: LogoBox | None, logo: bytes | None) -> bytes:
    """An SVG of `size` user units (CSS pixels)."""
    foreground, background = (_format(color) for color in (picture.foreground, picture.background))
    shapes = corners(dark, picture.style)
    whole = dark & (shapes == 0)
    written = BytesIO()
    symbol = segno.QRCode(to_segno(whole, picture.level))  # type: ignore[call-arg]  # segno's stub forgets it
    symbol.save(
        written,
        kind="svg",
        border=QUIET_ZONE,
        dark=foreground,
        light=background,
        xmldecl=False,
        svgclass=None,
        lineclass=None,
        omitsize=True,  # it writes a viewBox instead
        nl=False,
    )
    extras = []
    if picture.style != "squares":
        outline = path(dark & ~whole, shapes, SVG)
        extras.append(f'<path transform="translate({QUIET_ZONE} {QUIET_ZONE})" fill="{foreground}" d="{outline}"/>')
    if box is not None and logo is not None:
        start = QUIET_ZONE + (len(dark) - box.logo) / 2
        data = b64encode(logo).decode()
        extras.append(
            f'<image x="{start:g}" y="{start:g}" width="{box.logo:g}" height="{box.logo:g}"'
            f' href="data:image/png;base64,{data}"/>'
        )
    head, _, body = written.getvalue().decode().partition("<svg ")
    edges = ' shape-rendering="crispEdges"' if picture.style == "squares" else ""
    body = body.removesuffix("</svg>")
    return "".join(
        (head, f'<svg width="{picture.size}" height="{picture.size}"{edges} ', body, *extras, "</svg>\n")
    ).encode()


def render_pdf(picture: ImageSpec, dark: Modules, box: LogoBox | None, logo: bytes | None) -> bytes:
    """A PDF of one page, `size` points (1/72 inch) wide and high."""
    size, total = picture.size, len(dark) + 2 * QUIET_ZONE
    drawing = [
        f"{pdf_color(picture.background)} rg 0 0 {size} {size} re f",
        # From here on, coordinates are modules, and y grows downward.
        f"{size / total:.6f} 0 0 {-size / total:.6f} 0 {size} cm 1 0 0 1 {QUIET_ZONE} {QUIET_ZONE} cm",
        pdf_modules(picture, dark),
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


def pdf_modules(picture: ImageSpec, dark: Modules) -> str:
    """PDF operators that fill the dark modules, as one path. A module is one unit; y grows downward from the symbol's
    upper left corner."""
    shapes = corners(dark, picture.style)
    whole = dark & (shapes == 0)
    round_ones = "" if picture.style == "squares" else path(dark & ~whole, shapes, PDF)
    return "\n".join((f"{pdf_color(picture.foreground)} rg", rows(whole, "%d %d %d 1 re "), round_ones, "f"))


def pdf_color(color: str) -> str:
    """Red, green and blue as PDF's `rg` takes them."""
    return " ".join(f"{channel / 255:.4g}" for channel in rgb(color))


def to_segno(modules: Modules, level: str) -> SimpleNamespace:
    """What `segno.QRCode` wraps. Modes and mask are not told: they are the encoder's, and no writer asks for them."""
    matrix = tuple(map(bytearray, modules.view("uint8")))
    return SimpleNamespace(matrix=matrix, version=version(modules), error=level, mask=None, segments=())


def _format(color: str) -> str:
    """The color in its one spelling; ValueError for what is none, whatever was checked before."""
    return "#{:02x}{:02x}{:02x}".format(*rgb(color))
