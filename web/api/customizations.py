"""How the picture of a code looks, over HTTP: colours, style, logo. What a decoder cannot read back is not stored."""

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from flask import request
from flask_openapi import APIBlueprint, FileStorage, Tag
from pydantic import Field, StringConstraints
from werkzeug.exceptions import RequestEntityTooLarge

from shared.errors import Fault, Invalid, NotFound, Unreadable
from shared.images import store
from shared.images.code_url import printed_text
from shared.images.contrast import check_colours
from shared.images.customizations import PLAIN, Customization
from shared.images.image_spec import Style
from shared.images.store import Printed
from shared.infra import db
from shared.infra.db import Conn
from web.api.audit import audit, audit_change
from web.api.codes import CodePath
from web.http.auth import requires_role
from web.http.request_context import takes_up_to
from web.http.schemas import Answer, AnyWhole, Body

api = APIBlueprint(
    "customizations",
    __name__,
    url_prefix="/api/organizations/<org_id>/qr-codes/<qr_id>/customization",
    abp_tags=[Tag(name="Images")],
)

MAX_LOGO_BYTES = 2**20
MAX_UPLOAD_BYTES = 2 * 2**20
"""Of the whole request: the logo, and what multipart adds."""
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$")]


class CustomizationBody(Body):
    """How the picture shall look from now on; what is left out gets its default. The logo stays."""

    foreground_color: Colour = "#000000"
    background_color: Colour = "#FFFFFF"
    style: Style = "squares"
    logo_size_percent: Annotated[AnyWhole, Field(ge=10, le=30, description="Of the symbol's width")] = 20


class LogoForm(Body):
    """PNG or JPEG, at most 1 MiB."""

    logo: FileStorage


class CustomizationAnswer(Answer):
    """How the picture looks. With a logo, the error correction level of the picture is H."""

    foreground_color: str
    background_color: str
    style: Style
    logo_size_percent: int
    has_logo: bool


@api.get("", responses={200: CustomizationAnswer})
@requires_role("member", scope="codes:read")
def look_up(path: CodePath) -> dict[str, Any]:
    """How the code's picture looks; the defaults where nobody said anything."""
    with db.connection() as conn:
        return _told(_printed(conn, path).customization)


@api.put("", responses={200: CustomizationAnswer})
@requires_role("admin", scope="codes:write")
def customize(path: CodePath, body: CustomizationBody) -> dict[str, Any]:
    """Decide how the picture looks. Dark on light, with a contrast ratio of 3.0 or more (WCAG 2.2)."""
    if faults := check_colours(body.foreground_color, body.background_color):
        raise Invalid(*faults)
    with db.transaction() as conn:
        printed, before = _lock(conn, path)
        changed = replace(before, **dict(body))
        _prove(printed, changed, _logo(conn, path.qr_id, changed), blame="body")
        store.save_look(conn, path.qr_id, changed)
        audit_change(
            conn, "customization.changed", vars(before), vars(changed), org_id=path.org_id, object_id=path.qr_id
        )
    return _told(changed)


@api.delete("", responses={204: None})
@requires_role("admin", scope="codes:write")
def reset(path: CodePath) -> tuple[str, int]:
    """Back to black squares on white, without a logo."""
    with db.transaction() as conn:
        _, before = _lock(conn, path)
        store.remove_customization(conn, path.qr_id)
        audit_change(conn, "customization.removed", vars(before), vars(PLAIN), org_id=path.org_id, object_id=path.qr_id)
    return "", 204


@api.put("/logo", responses={200: CustomizationAnswer})
@requires_role("admin", scope="codes:write")
@takes_up_to(MAX_UPLOAD_BYTES)
def put_logo(path: CodePath, form: LogoForm) -> dict[str, Any]:
    """Put a logo in the middle of the picture. It is stored as a PNG of ours, without what else the file held."""
    from shared.images.logos import clean_logo  # noqa: PLC0415 - Pillow is loaded when it is first used

    cleaned = clean_logo(_uploaded(form))
    with db.transaction() as conn:
        printed, before = _lock(conn, path)
        changed = replace(before, logo_digest=store.digest_of(cleaned))
        _prove(printed, changed, cleaned, blame="form.logo")
        store.save_logo(conn, path.qr_id, cleaned)
        new = _logo_told(changed) | {"bytes": len(cleaned)}
        audit(conn, "logo.set", org_id=path.org_id, object_id=path.qr_id, old=_logo_told(before), new=new)
    return _told(changed)


@api.delete("/logo", responses={204: None})
@requires_role("admin", scope="codes:write")
def remove_logo(path: CodePath) -> tuple[str, int]:
    """Take the logo away; colours and style stay."""
    with db.transaction() as conn:
        _, before = _lock(conn, path)
        store.save_logo(conn, path.qr_id, None)
        if before.logo_digest is not None:
            audit(conn, "logo.removed", org_id=path.org_id, object_id=path.qr_id, old=_logo_told(before))
    return "", 204


def _uploaded(form: LogoForm) -> bytes:
    if len(request.files.getlist("logo")) != 1:  # a text field of this name is none
        raise Invalid(Fault("form.logo", "must be one file"))
    data = form.logo.stream.read(MAX_LOGO_BYTES + 1)
    if len(data) > MAX_LOGO_BYTES:
        request.max_content_length = MAX_LOGO_BYTES  # as the answer tells it
        raise RequestEntityTooLarge
    return data


def _prove(printed: Printed, wanted: Customization, logo: bytes | None, *, blame: str) -> None:
    """Raises Invalid where the code's picture, as it is shown by default, could not be read back like this."""
    from shared.images.verification import render_proved  # noqa: PLC0415 - the renderer is loaded when it is first used

    try:
        render_proved(wanted.picture(printed_text(printed.code)), logo)
    except Unreadable as error:
        raise Invalid(Fault(blame, str(error))) from None


def _lock(conn: Conn, path: CodePath) -> tuple[Printed, Customization]:
    return _printed(conn, path), store.lock_customization(conn, path.qr_id)


def _printed(conn: Conn, path: CodePath) -> Printed:
    found = store.printed(conn, path.org_id, path.qr_id)
    if found is None:
        raise NotFound
    return found


def _logo(conn: Conn, qr_id: UUID, customization: Customization) -> bytes | None:
    return None if customization.logo_digest is None else store.logo(conn, qr_id, customization.logo_digest)


def _logo_told(customization: Customization) -> dict[str, Any]:
    return {} if customization.logo_digest is None else {"sha256": customization.logo_digest}


def _told(customization: Customization) -> dict[str, Any]:
    return CustomizationAnswer(
        foreground_color=customization.foreground_color,
        background_color=customization.background_color,
        style=customization.style,
        logo_size_percent=customization.logo_size_percent,
        has_logo=customization.logo_digest is not None,
    ).model_dump(mode="json")
