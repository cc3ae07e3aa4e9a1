"""Pictures that are read back before anybody gets them. Importing this loads the renderer: do so when one is needed."""

from shared.errors import Unreadable
from shared.images.customizations import is_plain
from shared.images.image_spec import Picture
from shared.images.readback import reads_back
from shared.images.render import render


def render_proved(picture: Picture, logo: bytes | None = None) -> bytes:
    """The picture's bytes. Customized ones are decoded again: raises Unreadable where that does not give the text.

    Also raises what `render` raises. Of plain pictures the whole range is proved by tests.
    """
    data = render(picture, logo)
    if not is_plain(picture) and not reads_back(picture, data):
        raise Unreadable
    return data
