"""The renderer, as generated codes need it. Importing this loads it: do so when a picture is needed."""

from shared.generated_codes.rules import GenerateRequest
from shared.generated_codes.store import StoredImage
from shared.images.image_spec import Format
from shared.images.layout import fit
from shared.images.render import render as render_bytes
from shared.images.symbol import encode


def check_fits(asked: GenerateRequest) -> None:
    """Raises TextTooLong or PictureTooSmall where there can be no such picture. Encodes, and draws nothing."""
    symbol = encode(asked.data, asked.error_correction)
    if asked.format == "png":  # the others divide a pixel
        fit(len(symbol), asked.size)


def render(asked: GenerateRequest, as_format: Format | None = None) -> StoredImage:
    """The picture in the format asked for or in another one, which may be a PNG that is too small: PictureTooSmall."""
    picture = asked.picture(as_format)
    return StoredImage(picture.digest(), render_bytes(picture))
