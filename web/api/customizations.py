"""The appearance of a code's image over HTTP: colors, style, logo.

An appearance that a decoder cannot read is not stored.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared.errors import Invalid, NotFound
from shared.images import store
from shared.images.contrast import COLOR_PATTERN, check_colors, contrast_ratio, round_down
from shared.images.customizations import Customization
from shared.images.image_spec import Style
from shared.images.store import CodeAppearance
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import usage
from web.api.design_changes import change_verified, image_text
from web.api.logo_uploads import MAX_UPLOAD_BYTES, LogoForm, logo_audit_fields, sanitize, uploaded_logo
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

Color = Annotated[str, TextFormat(COLOR_PATTERN, "Use a color such as #1A2B3C.")]


class CustomizationBody(Body):
    """The new appearance. An omitted field gets its default. The logo is unchanged."""

    foreground_color: Color = Field("#000000", description="Must be darker than the background")
    background_color: Color = Field("#FFFFFF", description="Needs a contrast ratio of 3.0 or more")
    style: Style = Field("squares", description="Shape of the modules")
    logo_size_percent: Annotated[int, WholeNumber(10, 30)] = Field(20, description="Relative to the symbol's width")


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

    Needs the role member. A code without a customization has the design of its organization.
    """
    with db.connection() as conn:
        return to_response(_find(conn, path).customization)


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

    return to_response(_change(path, lambda before: replace(before, **dict(body)), save, loc="body"))


@api.delete("", responses={204: None})
@requires_role("admin", scope="codes:write")
def delete_customization(path: CodePath) -> tuple[str, int]:
    """Reset a code's image to the design of its organization

    Needs the role admin. By default, that is black squares on white. Also removes the logo. Repeating the request has
    no further effect.
    """
    with db.transaction() as conn:
        _, before = _lock(conn, path)
        store.remove_customization(conn, path.qr_id)
        record_change(
            conn,
            "customization.removed",
            vars(before),
            vars(_find(conn, path).customization),
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
        new = logo_audit_fields(changed) | {"bytes": len(sanitized)}
        record(conn, "logo.set", org_id=path.org_id, object_id=path.qr_id, old=logo_audit_fields(before), new=new)

    changed = _change(
        path, lambda before: replace(before, logo_digest=digest), save, new_logo=sanitized, loc="form.logo"
    )
    return to_response(changed)


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
            record(conn, "logo.removed", org_id=path.org_id, object_id=path.qr_id, old=logo_audit_fields(before))
    return "", 204


def _change(
    path: CodePath,
    change: Callable[[Customization], Customization],
    save: Callable[[Conn, Customization, Customization], None],
    *,
    new_logo: bytes | None = None,
    loc: str,
) -> Customization:
    def find(conn: Conn) -> tuple[tuple[str, ...], Customization]:
        appearance = _find(conn, path)
        return (image_text(appearance),), appearance.customization

    def lock(conn: Conn) -> tuple[tuple[str, ...], Customization]:
        appearance, customization = _lock(conn, path)
        if not appearance.is_own and new_logo is None and customization.logo_digest is not None:
            # The code got a copy of the organization's logo.
            logo = store.get_logo(conn, path.qr_id, customization.logo_digest) or b""
            limit_mb = current_settings().max_files_mb_per_organization
            usage.check_files(conn, path.org_id, added_bytes=len(logo), limit_mb=limit_mb)
        return (image_text(appearance),), customization

    def get_logo(conn: Conn, digest: str) -> bytes | None:
        return store.get_logo(conn, path.qr_id, digest)

    return change_verified(find, lock, get_logo, change, save, new_logo=new_logo, loc=loc)


def _lock(conn: Conn, path: CodePath) -> tuple[CodeAppearance, Customization]:
    """Return the code, and its customization as it is under the lock."""
    return _find(conn, path), store.lock_customization(conn, path.qr_id)


def _find(conn: Conn, path: CodePath) -> CodeAppearance:
    appearance = store.find_appearance(conn, path.org_id, path.qr_id)
    if appearance is None:
        raise NotFound
    return appearance


def to_response(customization: Customization) -> dict[str, Any]:
    """Return the appearance as its response."""
    return CustomizationResponse(
        foreground_color=customization.foreground_color,
        background_color=customization.background_color,
        style=customization.style,
        logo_size_percent=customization.logo_size_percent,
        has_logo=customization.logo_digest is not None,
        contrast_ratio=round_down(contrast_ratio(customization.foreground_color, customization.background_color)),
    ).model_dump(mode="json")
