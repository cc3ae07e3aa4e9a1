"""Changes of a design, which is rendered and decoded before it is stored."""

from collections.abc import Callable

from shared.codes.rotation import SAMPLE_STEP_MAC
from shared.errors import FieldError, Invalid, UnreadableImage
from shared.images.code_url import code_url, rotating_code_url
from shared.images.customizations import Customization, CustomizationChanged
from shared.images.image_spec import ImageSpec
from shared.images.store import CodeAppearance
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.event_loop import run_in_thread

MAX_TRIES = 3
"""How often an appearance is rendered, if other requests change it meanwhile."""


def change_verified(
    find: Callable[[Conn], tuple[tuple[str, ...], Customization]],
    lock: Callable[[Conn], tuple[tuple[str, ...], Customization]],
    get_logo: Callable[[Conn, str], bytes | None],
    change: Callable[[Customization], Customization],
    save: Callable[[Conn, Customization, Customization], None],
    *,
    new_logo: bytes | None = None,
    loc: str,
) -> Customization:
    """Verify the changed appearance, then `save` it. Return the new customization.

    `find` and `lock` return the texts of the images to verify, and the current appearance. Raise Invalid with this
    `loc` if an image is unreadable, and CustomizationChanged if other requests keep changing it.
    """
    # Rendering takes milliseconds to seconds, so no transaction is open and no row is locked during it. The transaction
    # that follows saves only what was verified. If a text or the appearance changed, it is verified again.
    for _ in range(MAX_TRIES):
        with db.connection() as conn:
            texts, current = find(conn)
            changed = change(current)
            digest = changed.logo_digest
            logo = new_logo or (None if digest is None else get_logo(conn, digest))
        if (logo is None) != (digest is None):
            # The logo was replaced or removed between the two reads.
            continue
        try:
            for text in texts:
                check_readable(changed.image_spec(text), logo)
        except UnreadableImage as error:
            raise Invalid(FieldError(loc, str(error))) from None
        with db.transaction() as conn:
            locked_texts, before = lock(conn)
            if (locked_texts, change(before)) == (texts, changed):
                save(conn, before, changed)
                return changed
    raise CustomizationChanged


def image_text(appearance: CodeAppearance) -> str:
    """Return what the image of the code encodes; of a rotating code, a text of the same length."""
    code = appearance.code
    return rotating_code_url(code, SAMPLE_STEP_MAC) if appearance.rotating else code_url(code)


def check_readable(spec: ImageSpec, logo: bytes | None) -> None:
    """Raise UnreadableImage if this image of a code cannot be decoded."""

    def render() -> None:
        from shared.images.verification import render_verified  # noqa: PLC0415 - loads the renderer on first use

        render_verified(spec, logo)

    run_in_thread(render)
