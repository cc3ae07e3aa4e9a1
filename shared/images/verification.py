"""Images that are decoded before they are served. Importing this module loads the renderer: do so on first use."""

from shared.errors import UnreadableImage
from shared.images.customizations import is_default
from shared.images.image_spec import ImageSpec
from shared.images.readback import is_readable
from shared.images.render import render


def render_verified(spec: ImageSpec, logo: bytes | None = None) -> bytes:
    """Return the bytes of the image. A customized image is decoded first: raise UnreadableImage if that fails.

    Also raise what `render` raises. Images with the default appearance are not decoded: tests cover their whole range.
    """
    data = render(spec, logo)
    if not is_default(spec) and not is_readable(spec, data):
        raise UnreadableImage
    return data
