"""How the picture of a code looks, over HTTP: colors, style, logo. What a decoder cannot read back is not stored."""

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from flask import request
from flask_openapi import APIBlueprint, FileStorage, Tag
from pydantic import Field, StringConstraints
from werkzeug.exceptions import RequestEntityTooLarge

from shared.errors import FieldError, Invalid, NotFound, UnreadableImage
from shared.images import store
from shared.images.code_url import code_url
from shared.images.contrast import check_colors
from shared.images.customizations import DEFAULT_CUSTOMIZATION, Customization
from shared.images.image_spec import Style
from shared.images.store import CodeAppearance
from shared.infra import db
from shared.infra.db import Conn
from web.http.audit_log import record, record_change
from web.http.auth import requires_role
from web.http.request_context import max_body_bytes
from web.http.schemas import Body, CodePath, Integer, ResponseModel

api = APIBlueprint(
    "customizations",
    __name__,
    url_prefix="/api/organizations/<org_id>/qr-codes/<qr_id>/customization",
    abp_tags=[Tag(name="Images")],
)

MAX_LOGO_BYTES = 2**20
MAX_UPLOAD_BYTES = 2 * 2**20
"""Of the whole request: the logo, and what multipart adds."""
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$")]


class CustomizationBody(Body):
    """How the picture shall look from now on; what is left out gets its default. The logo stays."""

    foreground_color: Color = "#000000"
    background_color: Color = "#FFFFFF"
    style: Style = "squares"
    logo_size_percent: Annotated[Integer, Field(ge=10, le=30, description="Of the symbol's width")] = 20


class LogoForm(Body):
    """PNG or JPEG, at most 1 MiB."""

    logo: FileStorage


class CustomizationResponse(ResponseModel):
    """How the picture looks. With a logo, the error correction level of the picture is H."""

    foreground_color: str
    background_color: str
    style: Style
    logo_size_percent: int
    has_logo: bool


@api.get("", responses={200: CustomizationResponse})
@requires_role("member", scope="codes:read")
def get_customization(path: CodePath) -> dict[str, Any]:
    """How the code's picture looks; the defaults where nobody said anything."""
    with db.connection() as conn:
        return _to_response(_printed(conn, path).customization)


@api.put("", responses={200: CustomizationResponse})
@requires_role("admin", scope="codes:write")
def put_customization(path: CodePath, body: CustomizationBody) -> dict[str, Any]:
    """Decide how the picture looks. Dark on light, with a contrast ratio of 3.0 or more (WCAG 2.2)."""
    if faults := check_colors(body.foreground_color, body.background_color):
        raise Invalid(*faults)
    with db.transaction() as conn:
        printed, before = _lock(conn, path)
        changed = replace(before, **dict(body))
        _check_readable(printed, changed, _logo(conn, path.qr_id, changed), blame="body")
        store.save_style(conn, path.qr_id, changed)
        record_change(
            conn, "customization.changed", vars(before), vars(changed), org_id=path.org_id, object_id=path.qr_id
        )
    return _to_response(changed)


@api.delete("", responses={204: None})
@requires_role("admin", scope="codes:write")
def delete_customization(path: CodePath) -> tuple[str, int]:
    """Back to black squares on white, without a logo."""
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


@api.put("/logo", responses={200: CustomizationResponse})
@requires_role("admin", scope="codes:write")
@max_body_bytes(MAX_UPLOAD_BYTES)
def put_logo(path: CodePath, form: LogoForm) -> dict[str, Any]:
    """Put a logo in the middle of the picture. It is stored as a PNG of ours, without what else the file held."""
    from shared.images.logos import sanitize_logo  # noqa: PLC0415 - Pillow is loaded when it is first used

    cleaned = sanitize_logo(_uploaded(form))
    with db.transaction() as conn:
        printed, before = _lock(conn, path)
        changed = replace(before, logo_digest=store.logo_digest(cleaned))
        _check_readable(printed, changed, cleaned, blame="form.logo")
        store.save_logo(conn, path.qr_id, cleaned)
        new = _logo_audit_fields(changed) | {"bytes": len(cleaned)}
        record(conn, "logo.set", org_id=path.org_id, object_id=path.qr_id, old=_logo_audit_fields(before), new=new)
    return _to_response(changed)


@api.delete("/logo", responses={204: None})
@requires_role("admin", scope="codes:write")
def delete_logo(path: CodePath) -> tuple[str, int]:
    """Take the logo away; colors and style stay."""
    with db.transaction() as conn:
        _, before = _lock(conn, path)
        store.save_logo(conn, path.qr_id, None)
        if before.logo_digest is not None:
            record(conn, "logo.removed", org_id=path.org_id, object_id=path.qr_id, old=_logo_audit_fields(before))
    return "", 204


def _uploaded(form: LogoForm) -> bytes:
    if len(request.files.getlist("logo")) != 1:  # a text field of this name is none
        raise Invalid(FieldError("form.logo", "must be one file"))
    data = form.logo.stream.read(MAX_LOGO_BYTES + 1)
    if len(data) > MAX_LOGO_BYTES:
        request.max_content_length = MAX_LOGO_BYTES  # as the answer tells it
        raise RequestEntityTooLarge
    return data


def _check_readable(printed: CodeAppearance, wanted: Customization, logo: bytes | None, *, blame: str) -> None:
    """Raises Invalid where the code's picture, as it is shown by default, could not be read back like this."""
    from shared.images.verification import render_verified  # noqa: PLC0415 - the renderer is loaded when it is first used

    try:
        render_verified(wanted.image_spec(code_url(printed.code)), logo)
    except UnreadableImage as error:
        raise Invalid(FieldError(blame, str(error))) from None


def _lock(conn: Conn, path: CodePath) -> tuple[CodeAppearance, Customization]:
    return _printed(conn, path), store.lock_customization(conn, path.qr_id)


def _printed(conn: Conn, path: CodePath) -> CodeAppearance:
    found = store.find_appearance(conn, path.org_id, path.qr_id)
    if found is None:
        raise NotFound
    return found


def _logo(conn: Conn, qr_id: UUID, customization: Customization) -> bytes | None:
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
    ).model_dump(mode="json")
