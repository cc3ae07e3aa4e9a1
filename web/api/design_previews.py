"""Previews of a code's design over HTTP. Nothing is stored."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from flask import Response, request
from flask_openapi import APIBlueprint, FileStorage, Tag
from pydantic import Field

from shared.errors import DesignRejected, FieldError, Invalid, LogoChanged, NotFound, UnreadableImage
from shared.images import store
from shared.images.contrast import check_colors, contrast_ratio, round_down
from shared.images.customizations import Customization
from shared.images.image_spec import Style
from shared.images.suggestions import suggest
from shared.infra import db
from shared.infra.event_loop import run_in_thread
from web.api.customizations import Color
from web.api.design_changes import check_readable, image_text
from web.api.images import CONTENT_SECURITY_POLICY
from web.api.logo_uploads import MAX_UPLOAD_BYTES, sanitize, uploaded_logo
from web.http.auth import requires_role
from web.http.request_context import max_body_bytes
from web.http.schemas import Body, CodePath, StrictBool, WholeNumber

api = APIBlueprint(
    "design_previews",
    __name__,
    url_prefix="/api/organizations/<org_id>/qr-codes/<qr_id>/customization/preview",
    abp_tags=[Tag(name="Images")],
)

HEADERS = {
    "X-Contrast": ("number", "Contrast ratio of the two colors, rounded down to two decimals"),
    "X-Read-Back": ("integer", "1: a decoder has read the image"),
    "X-Error-Correction": ("string", "Level of the image: H with a logo"),
    "Cache-Control": ("string", "no-store"),
}
PREVIEW: dict[str, Any] = {
    "description": "The image",
    "headers": {name: {"schema": {"type": kind}, "description": text} for name, (kind, text) in HEADERS.items()},
    "content": {"image/svg+xml": {"schema": {"type": "string", "format": "binary"}}},
}


class DesignForm(Body):
    """A design. An omitted field has the stored value."""

    foreground_color: Color | None = Field(None, description="Must be darker than the background")
    background_color: Color | None = Field(None, description="Needs a contrast ratio of 3.0 or more")
    style: Style | None = Field(None, description="Shape of the modules")
    logo_size_percent: Annotated[int, WholeNumber(10, 30)] | None = Field(
        None, description="Relative to the symbol's width"
    )
    logo: FileStorage | None = Field(None, description="A PNG or a JPEG of at most 1 MiB")
    remove_logo: StrictBool = Field(False, description="Show the design without the stored logo")


@api.post("", responses={200: PREVIEW})
@requires_role("admin", scope="codes:write")
@max_body_bytes(MAX_UPLOAD_BYTES)
def render_design_preview(path: CodePath, form: DesignForm) -> Response:
    """Render a design without storing it

    Needs the role admin. A `multipart/form-data` body with the fields of the appearance; an omitted field has the
    stored value. The image is an SVG that a decoder has read. A design that would not be stored gets 422, and
    `suggestion` has the nearest color or logo size that is readable, if one is found within three more renders.
    """
    with db.connection() as conn:
        appearance = store.find_appearance(conn, path.org_id, path.qr_id)
        if appearance is None:
            raise NotFound
        stored = appearance.customization
        logo = None if stored.logo_digest is None else store.get_logo(conn, path.qr_id, stored.logo_digest)
    if stored.logo_digest is not None and logo is None:
        # Replaced or removed between the two reads.
        raise LogoChanged
    return preview_response(stored, logo, form, (image_text(appearance),))


def preview_response(stored: Customization, logo: bytes | None, form: DesignForm, texts: Sequence[str]) -> Response:
    """Return the image of the first text in the design of the form. `stored` and `logo` are its defaults.

    Raise DesignRejected if the image of one of the texts cannot be decoded.
    """
    design = _design(form, stored)
    if "logo" in request.files or "logo" in request.form:
        if form.remove_logo:
            raise Invalid(FieldError("form.remove_logo", "Give either a logo or remove_logo."))
        logo = sanitize(uploaded_logo(form.logo))
        design = replace(design, logo_digest=store.logo_digest(logo))
    elif form.remove_logo:
        logo, design = None, replace(design, logo_digest=None)

    def is_readable(trial: Customization) -> bool:
        try:
            for text in texts:
                check_readable(trial.image_spec(text), logo)
        except UnreadableImage:
            return False
        return True

    if errors := _find_errors(design) or ([] if is_readable(design) else [_unreadable(design)]):
        raise DesignRejected(*errors, suggestion=suggest(design, is_readable))
    spec = design.image_spec(texts[0], "svg")

    def render() -> bytes:
        from shared.images.render import render  # noqa: PLC0415 - loads the renderer on first use

        return render(spec, logo)

    headers = {
        "X-Contrast": f"{round_down(contrast_ratio(design.foreground_color, design.background_color)):.2f}",
        "X-Read-Back": "1",
        "X-Error-Correction": spec.level,
        "Cache-Control": "no-store",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    }
    return Response(run_in_thread(render), headers=headers, content_type=spec.content_type)


def _design(form: DesignForm, stored: Customization) -> Customization:
    fields = ("foreground_color", "background_color", "style", "logo_size_percent")
    return replace(stored, **{name: value for name in fields if (value := getattr(form, name)) is not None})


def _find_errors(design: Customization) -> list[FieldError]:
    errors = check_colors(design.foreground_color, design.background_color)
    return [FieldError(error.loc.replace("body.", "form."), error.message) for error in errors]


def _unreadable(design: Customization) -> FieldError:
    return FieldError("form.foreground_color" if design.logo_digest is None else "form.logo", str(UnreadableImage()))
