"""The appearance of a code's image over HTTP: colors, style, logo.

An appearance that a decoder cannot read is not stored.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from flask import request
from flask_openapi import APIBlueprint, FileStorage, Tag
from pydantic import Field
from werkzeug.exceptions import RequestEntityTooLarge

from shared.codes.rotation import SAMPLE_STEP_MAC
from shared.errors import FieldError, Invalid, NotFound, UnreadableImage
from shared.images import store
from shared.images.code_url import code_url, rotating_code_url
from shared.images.contrast import COLOR_PATTERN, check_colors, contrast_ratio, round_down
from shared.images.customizations import DEFAULT_CUSTOMIZATION, Customization, CustomizationChanged
from shared.images.image_spec import ImageSpec, Style
from shared.images.store import CodeAppearance
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.event_loop import run_in_thread
from shared.organizations import usage
from web.http.audit_log import record, record_change
from web.http.auth import requires_role
from web.http.request_context import max_body_bytes
from web.http.schemas import Body, CodePath, ResponseModel, TextFormat, WholeNumber
from web.http.settings import current_settings

api = APIBlueprint(
    "customizations",
    __name__,
    url_prefix="/api/organizations/<org_id>/qr-codes/<qr_id>/customization",
    abp_tags=[Tag(name="Images")],
)

MAX_LOGO_BYTES = 2**20
MAX_UPLOAD_BYTES = 2 * 2**20
"""Limit of the whole request: the logo and the rest of the multipart body."""
MAX_TRIES = 3
"""How often an appearance is rendered, if other requests change it meanwhile."""
Color = Annotated[str, TextFormat(COLOR_PATTERN, "Use a color such as #1A2B3C.")]


class CustomizationBody(Body):
    """The new appearance. An omitted field gets its default. The logo is unchanged."""

    foreground_color: Color = Field("#000000", description="Must be darker than the background")
    background_color: Color = Field("#FFFFFF", description="Needs a contrast ratio of 3.0 or more")
    style: Style = Field("squares", description="Shape of the modules")
    logo_size_percent: Annotated[int, WholeNumber(10, 30)] = Field(20, description="Relative to the symbol's width")


class LogoForm(Body):
    """One PNG or JPEG of at most 1 MiB."""

    logo: FileStorage


class CustomizationResponse(ResponseModel):
    """The appearance of a code's image. With a logo, the error correction level of the image is H."""

    foreground_color: str
    background_color: str
    style: Style
    logo_size_percent: int
    has_logo: bool = Field(examples=[False])
    contrast_ratio: float = Field(
        ge=1, le=21, examples=[21.0], description="Of the two colors (WCAG 2.2), rounded down to two decimals"
    )


@api.get("", responses={200: CustomizationResponse})
@requires_role("member", scope="codes:read")
def get_customization(path: CodePath) -> dict[str, Any]:
    """Get the appearance of a code's image

    Needs the role member. Returns the defaults for a code without a customization.
    """
    with db.connection() as conn:
        return _to_response(_find(conn, path).customization)


@api.put("", responses={200: CustomizationResponse})
@requires_role("admin", scope="codes:write")
def put_customization(path: CodePath, body: CustomizationBody) -> dict[str, Any]:
    """Set colors, style and logo size of a code's image

    Needs the role admin. The foreground must be darker than the background, with a contrast ratio of 3.0 or more (WCAG
    2.2). Waymark renders and decodes the image first: an unreadable appearance gets 422.
    """
    if errors := check_colors(body.foreground_color, body.background_color):
        raise Invalid(*errors)

    def save(conn: Conn, before: Customization, changed: Customization) -> None:
        store.save_style(conn, path.qr_id, changed)
        record_change(
            conn, "customization.changed", vars(before), vars(changed), org_id=path.org_id, object_id=path.qr_id
        )

    return _to_response(_change(path, lambda before: replace(before, **dict(body)), save, loc="body"))


@api.delete("", responses={204: None})
@requires_role("admin", scope="codes:write")
def delete_customization(path: CodePath) -> tuple[str, int]:
    """Reset a code's image to black squares on white

    Needs the role admin. Also removes the logo. Repeating the request has no further effect.
    """
    with db.transaction() as conn:
        _, before = _lock(conn, path)
        store.remove_customization(conn, path.qr_id)
        record_change(
            conn,
            "customization.removed",
            vars(before),
            vars(DEFAULT_CUSTOMIZATION),
            org_id=path.org_id,
            object_id=path.qr_id,
        )
    return "", 204


@api.put("/logo", responses={200: CustomizationResponse, 409: None})
@requires_role("admin", scope="codes:write")
@max_body_bytes(MAX_UPLOAD_BYTES)
def put_logo(path: CodePath, form: LogoForm) -> dict[str, Any]:
    """Upload a logo for a code's image

    Needs the role admin. PNG or JPEG, at most 1 MiB and 4,000,000 pixels. Only its pixels are stored, scaled to at most
    600 x 600. A logo that makes the image unreadable gets 422. 409 if the quota for files is used up.
    """
    sanitized = sanitize(uploaded_logo(form.logo))
    digest = store.logo_digest(sanitized)

    def save(conn: Conn, before: Customization, changed: Customization) -> None:
        store.save_logo(conn, path.qr_id, sanitized)
        limit_mb = current_settings().max_files_mb_per_organization
        usage.check_files(conn, path.org_id, added_bytes=len(sanitized), limit_mb=limit_mb)
        new = _logo_audit_fields(changed) | {"bytes": len(sanitized)}
        record(conn, "logo.set", org_id=path.org_id, object_id=path.qr_id, old=_logo_audit_fields(before), new=new)

    changed = _change(
        path, lambda before: replace(before, logo_digest=digest), save, new_logo=sanitized, loc="form.logo"
    )
    return _to_response(changed)


@api.delete("/logo", responses={204: None})
@requires_role("admin", scope="codes:write")
def delete_logo(path: CodePath) -> tuple[str, int]:
    """Remove the logo of a code's image

    Needs the role admin. Colors and style are unchanged. Repeating the request has no further effect.
    """
    with db.transaction() as conn:
        _, before = _lock(conn, path)
        store.save_logo(conn, path.qr_id, None)
        if before.logo_digest is not None:
            record(conn, "logo.removed", org_id=path.org_id, object_id=path.qr_id, old=_logo_audit_fields(before))
    return "", 204


def uploaded_logo(upload: FileStorage | None) -> bytes:
    """Return the bytes of the field `logo`. Raise Invalid if it is not one file, and RequestEntityTooLarge."""
    # A text field of this name is not in `files`.
    if upload is None or len(request.files.getlist("logo")) != 1:
        raise Invalid(FieldError("form.logo", "Give one file."))
    data = upload.stream.read(MAX_LOGO_BYTES + 1)
    if len(data) > MAX_LOGO_BYTES:
        # The error response reports this limit.
        request.max_content_length = MAX_LOGO_BYTES
        raise RequestEntityTooLarge
    return data


def sanitize(data: bytes) -> bytes:
    """Return the logo as Waymark stores it. Raise InvalidLogo."""

    def work() -> bytes:
        from shared.images.logos import sanitize_logo  # noqa: PLC0415 - loads Pillow on first use

        return sanitize_logo(data)

    return run_in_thread(work)


def _change(
    path: CodePath,
    change: Callable[[Customization], Customization],
    save: Callable[[Conn, Customization, Customization], None],
    *,
    new_logo: bytes | None = None,
    loc: str,
) -> Customization:
    """Verify the changed appearance, then `save` it. Return the new customization.

    Raise Invalid with this `loc` if the image is unreadable, and CustomizationChanged if other requests keep changing
    the code.
    """
    # Rendering takes milliseconds to seconds, so no transaction is open and no row is locked during it. The transaction
    # that follows saves only what was verified. If the code or its customization changed, it is verified again.
    for _ in range(MAX_TRIES):
        with db.connection() as conn:
            appearance = _find(conn, path)
            changed = change(appearance.customization)
            logo = new_logo or _find_logo(conn, path.qr_id, changed)
        if (logo is None) != (changed.logo_digest is None):
            # The logo was replaced or removed between the two reads.
            continue
        try:
            check_readable(changed.image_spec(image_text(appearance)), logo)
        except UnreadableImage as error:
            raise Invalid(FieldError(loc, str(error))) from None
        with db.transaction() as conn:
            current, before = _lock(conn, path)
            if (current.code, change(before)) == (appearance.code, changed):
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


def _lock(conn: Conn, path: CodePath) -> tuple[CodeAppearance, Customization]:
    """Return the code, and its customization as it is under the lock."""
    return _find(conn, path), store.lock_customization(conn, path.qr_id)


def _find(conn: Conn, path: CodePath) -> CodeAppearance:
    appearance = store.find_appearance(conn, path.org_id, path.qr_id)
    if appearance is None:
        raise NotFound
    return appearance


def _find_logo(conn: Conn, qr_id: UUID, customization: Customization) -> bytes | None:
    return None if customization.logo_digest is None else store.get_logo(conn, qr_id, customization.logo_digest)


def _logo_audit_fields(customization: Customization) -> dict[str, Any]:
    return {} if customization.logo_digest is None else {"sha256": customization.logo_digest}


def _to_response(customization: Customization) -> dict[str, Any]:
    return CustomizationResponse(
        foreground_color=customization.foreground_color,
        background_color=customization.background_color,
        style=customization.style,
        logo_size_percent=customization.logo_size_percent,
        has_logo=customization.logo_digest is not None,
        contrast_ratio=round_down(contrast_ratio(customization.foreground_color, customization.background_color)),
    ).model_dump(mode="json")
