"""Pictures that are read back before anybody gets them. Importing this loads the renderer: do so when one is needed."""

from shared.errors import UnreadableImage
from shared.images.customizations import is_default
from shared.images.image_spec import ImageSpec
from shared.images.readback import is_readable
from shared.images.render import render


def render_verified(picture: ImageSpec, logo: bytes | None = None) -> bytes:
    """The picture's bytes. Customized ones are decoded again: raises Unreadable where that does not give the text.

    Also raises what `render` raises. Of plain pictures the whole range is proved by tests.
    """
    data = render(picture, logo)
    if not is_default(picture) and not is_readable(picture, data):
        raise UnreadableImage
    return data
