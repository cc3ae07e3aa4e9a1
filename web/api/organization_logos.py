"""The logo of an organization's pages over HTTP."""

from typing import Any
from uuid import UUID

from flask_openapi import APIBlueprint, Tag

from shared.errors import Forbidden
from shared.images.store import logo_digest
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import branding, store, usage
from shared.organizations.store import Organization
from web.api.logo_uploads import MAX_UPLOAD_BYTES, LogoForm, sanitize, uploaded_logo
from web.api.organizations import OrganizationResponse, to_response
from web.http.audit_log import record
from web.http.auth import current_player_id, requires_role
from web.http.request_context import max_body_bytes
from web.http.schemas import OrganizationPath
from web.http.settings import current_settings

api = APIBlueprint(
    "organization_logos",
    __name__,
    url_prefix="/api/organizations/<org_id>/logo",
    abp_tags=[Tag(name="Organizations")],
)


@api.put("", responses={200: OrganizationResponse, 409: None})
@requires_role("owner")
@max_body_bytes(MAX_UPLOAD_BYTES)
def upload_organization_logo(path: OrganizationPath, form: LogoForm) -> dict[str, Any]:
    """Upload the logo of an organization

    Needs the role owner. PNG or JPEG, at most 1 MiB and 4,000,000 pixels. Only its pixels are stored, scaled to at most
    600 x 600. Anyone can get it at `logo_url`. 409 if the quota for files is used up.
    """
    sanitized = sanitize(uploaded_logo(form.logo))
    digest = logo_digest(sanitized)
    with db.transaction() as conn:
        before = _lock(conn, path.org_id)
        branding.save_logo(conn, path.org_id, sanitized, digest)
        limit_mb = current_settings().max_files_mb_per_organization
        usage.check_files(conn, path.org_id, added_bytes=len(sanitized), limit_mb=limit_mb)
        new = {"sha256": digest, "bytes": len(sanitized)}
        record(conn, "logo.set", org_id=path.org_id, object_id=path.org_id, old=_audit_fields(before), new=new)
        return to_response(_lock(conn, path.org_id))


@api.delete("", responses={204: None})
@requires_role("owner")
def remove_organization_logo(path: OrganizationPath) -> tuple[str, int]:
    """Remove the logo of an organization

    Needs the role owner. Repeating the request has no further effect.
    """
    with db.transaction() as conn:
        before = _lock(conn, path.org_id)
        if before.logo_digest is not None:
            branding.save_logo(conn, path.org_id, None, None)
            record(conn, "logo.removed", org_id=path.org_id, object_id=path.org_id, old=_audit_fields(before))
    return "", 204


def _lock(conn: Conn, org_id: UUID) -> Organization:
    """Lock the organization and return it. Raise Forbidden if the caller was removed since the role was checked."""
    store.lock(conn, org_id)
    organization = store.find(conn, org_id, current_player_id())
    if organization is None:
        raise Forbidden
    return organization


def _audit_fields(organization: Organization) -> dict[str, Any]:
    return {} if organization.logo_digest is None else {"sha256": organization.logo_digest}
