"""Render generated codes. Importing this module loads the renderer: import it where an image is needed."""

from shared.generated_codes.rules import GenerateRequest
from shared.generated_codes.store import StoredImage
from shared.images.image_spec import Format
from shared.images.layout import QUIET_ZONE, fit
from shared.images.render import render as render_bytes
from shared.images.symbol import BYTES, LARGEST_WIDTH, encode


def check_fits(request: GenerateRequest) -> None:
    """Raise TextTooLong or ImageTooSmall if the image is impossible. Encodes a text only if its length is no answer."""
    # Vector formats have no smallest size: they divide a pixel. Byte mode is the longest encoding.
    has_room = request.format != "png" or request.size >= LARGEST_WIDTH + 2 * QUIET_ZONE
    if has_room and len(request.data.encode()) <= BYTES[request.error_correction]:
        return
    symbol = encode(request.data, request.error_correction)
    if request.format == "png":
        fit(len(symbol), request.size)


def render(request: GenerateRequest, as_format: Format | None = None) -> StoredImage:
    """Render the image in the requested format, or in another. Raise ImageTooSmall for a PNG that is too small."""
    spec = request.image_spec(as_format)
    return StoredImage(spec.digest(), render_bytes(spec))
