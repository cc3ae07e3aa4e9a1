"""Deletion of an organization over HTTP, and its reversal within seven days."""

from typing import Any
from uuid import UUID

from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared.errors import FieldError, Forbidden, Invalid, OrganizationClosed
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import closing, store
from shared.organizations.store import Organization
from web.api.organizations import OrganizationResponse, find_organization, to_response
from web.http.audit_log import record
from web.http.auth import requires_role
from web.http.schemas import Body, OrganizationPath

api = APIBlueprint("closing", __name__, url_prefix="/api/organizations/<org_id>", abp_tags=[Tag(name="Organizations")])


class ClosingBody(Body):
    """The name of the organization, typed again."""

    name: str = Field(max_length=200, description="Must equal the name of the organization", examples=["City Museum"])


@api.delete("", responses={202: OrganizationResponse})
@requires_role("owner", in_closed=True)
def close_organization(path: OrganizationPath, body: ClosingBody) -> tuple[dict[str, Any], int]:
    """Delete an organization

    Needs the role owner, and the name of the organization in the body. It is closed at once: its codes and pages answer
    410, its API keys stop, and nothing is paid. It is erased after seven days. Until then an owner can restore it.
    """
    with db.transaction() as conn:
        before = _lock_as_owner(conn, path.org_id)
        if body.name != before.name:
            raise Invalid(FieldError("body.name", "Use the name of this organization."))
        if not before.is_closed:
            closing.close(conn, path.org_id)
            record(conn, "organization.closed", org_id=path.org_id, object_id=path.org_id)
        return to_response(find_organization(conn, path.org_id)), 202


@api.post("/restore", responses={200: OrganizationResponse, 410: None})
@requires_role("owner", in_closed=True)
def restore_organization(path: OrganizationPath) -> dict[str, Any]:
    """Restore a deleted organization

    Needs the role owner. Everything works again as before. 410 after seven days. Without effect if it is open.
    """
    with db.transaction() as conn:
        if _lock_as_owner(conn, path.org_id).is_closed:
            if not closing.restore(conn, path.org_id):
                raise OrganizationClosed("This organization was closed more than seven days ago, and is being erased.")
            record(conn, "organization.restored", org_id=path.org_id, object_id=path.org_id)
        return to_response(find_organization(conn, path.org_id))


def _lock_as_owner(conn: Conn, org_id: UUID) -> Organization:
    """Lock the organization and return it. Raise Forbidden if the caller is no longer an owner."""
    store.lock(conn, org_id)
    organization = find_organization(conn, org_id)
    if organization.role != "owner":
        raise Forbidden
    return organization
