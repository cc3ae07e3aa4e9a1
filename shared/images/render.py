"""Rendering: from an image spec to bytes. Equal specs give equal pixels everywhere, and equal bytes on one machine."""

from shared.errors import TextTooLong
from shared.images.image_spec import MAX_TEXT_BYTES, ImageSpec
from shared.images.layout import logo_box
from shared.images.raster import render_png
from shared.images.symbol import BYTES, encode
from shared.images.vector import render_pdf, render_svg


def render(spec: ImageSpec, logo: bytes | None = None) -> bytes:
    """Return the bytes of the image. `logo` is the output of `sanitize_logo`, and required if the spec has a logo.

    Raise TextTooLong, Invalid for an empty text or one that is not valid Unicode, and ImageTooSmall for a PNG.
    """
    if (spec.logo is None) != (logo is None):
        raise ValueError("pass the bytes of the logo if, and only if, the spec has a logo")
    if len(spec.text) > MAX_TEXT_BYTES or len(spec.text.encode(errors="surrogatepass")) > MAX_TEXT_BYTES:
        raise TextTooLong(BYTES[spec.level], spec.level)
    dark = encode(spec.text, spec.level)
    box = None
    if logo is not None:
        box = logo_box(len(dark), spec.logo_percent)
        dark[box.area] = False
    render_format = {"png": render_png, "svg": render_svg, "pdf": render_pdf}[spec.format]
    return render_format(spec, dark, box, logo)
