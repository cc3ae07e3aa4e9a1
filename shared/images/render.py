"""From a picture to its bytes. The same picture gives the same pixels everywhere, and the same bytes on one machine."""

from shared.errors import TextTooLong
from shared.images.image_spec import MAX_TEXT_BYTES, ImageSpec
from shared.images.layout import logo_box
from shared.images.raster import render_png
from shared.images.symbol import BYTES, encode
from shared.images.vector import render_pdf, render_svg


def render(picture: ImageSpec, logo: bytes | None = None) -> bytes:
    """The picture's bytes. `logo` is what `clean_logo` made, where the picture has one.

    Raises TextTooLong, Invalid for what is no text, and, for a PNG, PictureTooSmall.
    """
    if (picture.logo is None) != (logo is None):
        raise ValueError("a picture with a logo is drawn with that logo's bytes, and one without it without")
    if len(picture.text) > MAX_TEXT_BYTES or len(picture.text.encode(errors="surrogatepass")) > MAX_TEXT_BYTES:
        raise TextTooLong(BYTES[picture.level], picture.level)
    dark = encode(picture.text, picture.level)
    box = None
    if logo is not None:
        box = logo_box(len(dark), picture.logo_percent)
        dark[box.area] = False
    draw = {"png": render_png, "svg": render_svg, "pdf": render_pdf}[picture.format]
    return draw(picture, dark, box, logo)
