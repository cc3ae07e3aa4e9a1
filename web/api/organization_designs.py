"""The design of an organization over HTTP: colors, style and logo of its codes without a customization."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Response
from flask_openapi import APIBlueprint, Tag

from shared.codes.rotation import SAMPLE_STEP_MAC
from shared.errors import Invalid, LogoChanged
from shared.images import organization_designs as store
from shared.images.code_url import code_url, rotating_code_url
from shared.images.contrast import check_colors
from shared.images.customizations import DEFAULT_CUSTOMIZATION, Customization
from shared.images.store import logo_digest
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import usage
from web.api.customizations import CustomizationBody, CustomizationResponse, to_response
from web.api.design_changes import change_verified
from web.api.design_previews import PREVIEW, DesignForm, preview_response
from web.api.logo_uploads import MAX_UPLOAD_BYTES, LogoForm, logo_audit_fields, sanitize, uploaded_logo
from web.http.audit_log import record, record_change
from web.http.auth import requires_role
from web.http.request_context import max_body_bytes
from web.http.schemas import OrganizationPath
from web.http.settings import current_settings

api = APIBlueprint(
    "organization_designs",
    __name__,
    url_prefix="/api/organizations/<org_id>/customization",
    abp_tags=[Tag(name="Images")],
)

SHORTEST, LONGEST = "spy", "x" * 64
"""Code texts. The image of the first has the fewest modules, that of the second on a screen the most."""


@api.get("", responses={200: CustomizationResponse})
@requires_role("member", scope="codes:read")
def get_organization_design(path: OrganizationPath) -> dict[str, Any]:
    """Get the design of an organization

    Needs the role member. Codes without a customization, and the business code, have it.
    """
    with db.connection() as conn:
        return to_response(store.find(conn, path.org_id))


@api.put("", responses={200: CustomizationResponse})
@requires_role("admin", scope="codes:write")
def set_organization_design(path: OrganizationPath, body: CustomizationBody) -> dict[str, Any]:
    """Set colors, style and logo size of an organization's codes

    Needs the role admin. Images of all codes without a customization change at once. Images of a short and of a long
    code are rendered and decoded first: an unreadable design gets 422.
    """
    if errors := check_colors(body.foreground_color, body.background_color):
        raise Invalid(*errors)

    def save(conn: Conn, before: Customization, changed: Customization) -> None:
        store.save_style(conn, path.org_id, changed)
        states = vars(before), vars(changed)
        record_change(conn, "customization.changed", *states, org_id=path.org_id, object_id=path.org_id)

    return to_response(_change(path, lambda before: replace(before, **dict(body)), save, loc="body"))


@api.delete("", responses={204: None})
@requires_role("admin", scope="codes:write")
def reset_organization_design(path: OrganizationPath) -> tuple[str, int]:
    """Reset the design of an organization to black squares on white

    Needs the role admin. Also removes its logo. Repeating the request has no further effect.
    """
    with db.transaction() as conn:
        before = store.lock(conn, path.org_id)
        store.remove(conn, path.org_id)
        states = vars(before), vars(DEFAULT_CUSTOMIZATION)
        record_change(conn, "customization.removed", *states, org_id=path.org_id, object_id=path.org_id)
    return "", 204


@api.put("/logo", responses={200: CustomizationResponse, 409: None})
@requires_role("admin", scope="codes:write")
@max_body_bytes(MAX_UPLOAD_BYTES)
def upload_organization_design_logo(path: OrganizationPath, form: LogoForm) -> dict[str, Any]:
    """Upload a logo for an organization's codes

    Needs the role admin. As the logo of a code. 409 if the quota for files is used up.
    """
    sanitized = sanitize(uploaded_logo(form.logo))
    digest = logo_digest(sanitized)

    def save(conn: Conn, before: Customization, changed: Customization) -> None:
        store.save_logo(conn, path.org_id, sanitized, digest)
        limit_mb = current_settings().max_files_mb_per_organization
        usage.check_files(conn, path.org_id, added_bytes=len(sanitized), limit_mb=limit_mb)
        new = logo_audit_fields(changed) | {"bytes": len(sanitized)}
        record(conn, "logo.set", org_id=path.org_id, object_id=path.org_id, old=logo_audit_fields(before), new=new)

    changed = _change(
        path, lambda before: replace(before, logo_digest=digest), save, new_logo=sanitized, loc="form.logo"
    )
    return to_response(changed)


@api.delete("/logo", responses={204: None})
@requires_role("admin", scope="codes:write")
def remove_organization_design_logo(path: OrganizationPath) -> tuple[str, int]:
    """Remove the logo of an organization's codes

    Needs the role admin. Colors and style are unchanged. Repeating the request has no further effect.
    """
    with db.transaction() as conn:
        before = store.lock(conn, path.org_id)
        store.save_logo(conn, path.org_id, None, None)
        if before.logo_digest is not None:
            record(conn, "logo.removed", org_id=path.org_id, object_id=path.org_id, old=logo_audit_fields(before))
    return "", 204


@api.post("/preview", responses={200: PREVIEW})
@requires_role("admin", scope="codes:write")
@max_body_bytes(MAX_UPLOAD_BYTES)
def render_organization_design_preview(path: OrganizationPath, form: DesignForm) -> Response:
    """Render a design of an organization without storing it

    Needs the role admin. As the preview of a code's design: the image is that of a short code, and the images of a
    short and of a long code are decoded first.
    """
    with db.connection() as conn:
        stored = store.find(conn, path.org_id)
        logo = None if stored.logo_digest is None else store.get_logo(conn, path.org_id, stored.logo_digest)
    if stored.logo_digest is not None and logo is None:
        # Replaced or removed between the two reads.
        raise LogoChanged
    return preview_response(stored, logo, form, _texts())


def _texts() -> tuple[str, str]:
    """Return what the images to verify encode. The first has the fewest modules, the last the most."""
    return code_url(SHORTEST), rotating_code_url(LONGEST, SAMPLE_STEP_MAC)


def _change(
    path: OrganizationPath,
    change: Callable[[Customization], Customization],
    save: Callable[[Conn, Customization, Customization], None],
    *,
    new_logo: bytes | None = None,
    loc: str,
) -> Customization:
    texts = _texts()
    return change_verified(
        lambda conn: (texts, store.find(conn, path.org_id)),
        lambda conn: (texts, store.lock(conn, path.org_id)),
        lambda conn, digest: store.get_logo(conn, path.org_id, digest),
        change,
        save,
        new_logo=new_logo,
        loc=loc,
    )
