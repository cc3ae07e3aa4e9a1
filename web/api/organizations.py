"""Organizations over HTTP."""

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared.accounts import store as accounts
from shared.codes.target_urls import TargetUrl
from shared.errors import FieldError, Forbidden, Invalid, OrganizationClosed
from shared.images.brand_colors import page_colors
from shared.images.contrast import COLOR_PATTERN
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.pubsub_messages import publish_access_change
from shared.organizations import closing, store
from shared.organizations.branding import logo_path
from shared.organizations.rules import RESTORE_PERIOD, SLUG, Role, includes_role
from shared.organizations.store import Organization
from web.api.fair_play import FairPlayBody, FairPlayResponse, active_rules
from web.http.audit_log import record, record_change
from web.http.auth import current_player_id, requires_login, requires_role
from web.http.idempotency import idempotent, transaction
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.schemas import (
    Body,
    Id,
    Name,
    OrganizationPath,
    PatchBody,
    ResponseModel,
    TextFormat,
    Timestamp,
    WholeNumber,
)
from web.http.settings import current_settings

api = APIBlueprint("organizations", __name__, url_prefix="/api/organizations", abp_tags=[Tag(name="Organizations")])

Slug = Annotated[
    str, TextFormat(SLUG, "Use 1 to 64 lowercase letters and digits, with single hyphens between.", max_length=64)
]
Color = Annotated[str, TextFormat(COLOR_PATTERN, "Use a color such as #1A2B3C.")]
RETENTION = "Days after which latitude, longitude and accuracy of settled scans are cleared; null: never"


class OrganizationBody(Body):
    """Without `slug`, one is made from the name. `url` is the target of the organization's own code."""

    name: Name
    slug: Slug | None = None
    url: TargetUrl | None = None


class OrganizationPatchBody(PatchBody):
    name: Name = ""
    slug: Slug = ""
    url: TargetUrl | None = None
    fair_play: FairPlayBody | None = None
    color: Color | None = Field(None, description="Brand color of its pages, as #RRGGBB; null: none")
    position_retention_days: Annotated[int, WholeNumber(1, 3_650)] | None = Field(
        90, description=RETENTION, examples=[90]
    )


class ClosingBody(Body):
    """The name of the organization, typed again."""

    name: str = Field(max_length=200, description="Must equal the name of the organization", examples=["City Museum"])


class OrganizationResponse(ResponseModel):
    """An organization, and the caller's role in it."""

    id: Id
    name: str
    slug: str
    url: str | None
    role: Role = Field(examples=["owner"])
    fair_play: FairPlayResponse | None = Field(description="For admins and owners; null for other roles")
    color: str | None = Field(description="Brand color of its pages, as given; null: none", examples=["#F2A900"])
    color_light: str | None = Field(
        description="The brand color, darkened until it has a contrast of 4.5 with light pages", examples=["#8F6400"]
    )
    color_dark: str | None = Field(
        description="The brand color, lightened until it has a contrast of 4.5 with dark pages", examples=["#F2A900"]
    )
    logo_url: str | None = Field(
        description="Path of the logo, which anyone can get; null: none", examples=["/b/city-museum/logo?v=9f2c41d0"]
    )
    position_retention_days: int | None = Field(description=RETENTION, examples=[90])
    created_at: Timestamp
    updated_at: Timestamp
    closed_at: Timestamp | None = Field(description="Time of closing, past or planned; null: none", examples=[None])
    erased_after: Timestamp | None = Field(
        description="Until then, an owner can restore it. Then it is erased.", examples=[None]
    )


class OrganizationsResponse(ResponseModel):
    items: list[OrganizationResponse]
    next_cursor: str | None


@api.post("", responses={201: OrganizationResponse, 403: None, 409: None})
@requires_login
@idempotent
def create_organization(body: OrganizationBody) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Create an organization

    The caller becomes its owner. `ORGANIZATION_CREATION` sets which callers may: players with an account by default, so
    guests get 403. 409 if the slug is taken, or if the caller owns as many organizations as the quota allows.
    """
    with transaction() as conn:
        _check_creation(conn)
        store.check_quota(conn, current_player_id(), current_settings().max_organizations_per_account)
        org_id = store.add(conn, current_player_id(), body.name, body.slug, body.url)
        organization = _find(conn, org_id)
        record(conn, "organization.created", org_id=org_id, object_id=org_id, new=_audit_fields(organization))
        return to_response(organization), 201, {"Location": f"{api.url_prefix}/{org_id}"}


@api.get("", responses={200: OrganizationsResponse})
@requires_login
def list_organizations(query: PageQuery) -> dict[str, Any]:
    """List your organizations

    Newest first, with your role in each.
    """
    before = decode_id(query.cursor)
    with db.connection() as conn:
        organizations = store.list_for_player(conn, current_player_id(), limit=query.limit + 1, before=before)
    page, next_cursor = paginate(organizations, query.limit, lambda organization: (str(organization.id),))
    return {"items": [to_response(organization) for organization in page], "next_cursor": next_cursor}


@api.get("/<org_id>", responses={200: OrganizationResponse})
@requires_role("member", in_closed=True)
def get_organization(path: OrganizationPath) -> dict[str, Any]:
    """Get an organization

    Needs the role member. Works in a closed organization too.
    """
    with db.connection() as conn:
        return to_response(_find(conn, path.org_id))


@api.patch("/<org_id>", responses={200: OrganizationResponse, 409: None})
@requires_role("owner")
def update_organization(path: OrganizationPath, body: OrganizationPatchBody) -> dict[str, Any]:
    """Change an organization

    Needs the role owner. Changes only the fields in the body. A null `url` removes it, a null `fair_play` turns its
    rules off. An old slug redirects to the new one, as an alias. 409 if the slug is taken, or if the organization has
    used 20 slugs.
    """
    changes = body.changes()
    if "color" in changes:
        light, dark = (None, None) if body.color is None else page_colors(body.color)
        changes |= {"color_light": light, "color_dark": dark}
    if "fair_play" in changes:
        changes["fair_play"] = active_rules(body.fair_play)
    with db.transaction() as conn:
        store.lock(conn, path.org_id)
        before = _find(conn, path.org_id)
        store.save(conn, replace(before, **changes))
        if "slug" in changes:
            store.check_slugs(conn, path.org_id)
        after = _find(conn, path.org_id)
        states = _audit_fields(before), _audit_fields(after)
        record_change(conn, "organization.changed", *states, org_id=path.org_id, object_id=path.org_id)
        return to_response(after)


@api.delete("/<org_id>", responses={202: OrganizationResponse})
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
        response = to_response(_find(conn, path.org_id))
    publish_access_change(path.org_id)
    return response, 202


@api.post("/<org_id>/restore", responses={200: OrganizationResponse, 410: None})
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
        return to_response(_find(conn, path.org_id))


def _lock_as_owner(conn: Conn, org_id: UUID) -> Organization:
    """Lock the organization and return it. Raise Forbidden if the caller is no longer an owner."""
    store.lock(conn, org_id)
    organization = _find(conn, org_id)
    if organization.role != "owner":
        raise Forbidden
    return organization


def _find(conn: Conn, org_id: UUID) -> Organization:
    """Return the organization. Raise Forbidden if the caller was removed since the role was checked."""
    organization = store.find(conn, org_id, current_player_id())
    if organization is None:
        raise Forbidden
    return organization


def _check_creation(conn: Conn) -> None:
    """Raise Forbidden if the setting does not let the caller create organizations."""
    match current_settings().organization_creation:
        case "operators":
            raise Forbidden("Only operators of this installation can create organizations.")
        case "accounts" if not accounts.has_account(conn, current_player_id()):
            raise Forbidden("Guests cannot create organizations. Create an account with POST /auth/upgrade first.")


def _audit_fields(organization: Organization) -> dict[str, Any]:
    return {
        "name": organization.name,
        "slug": organization.slug,
        "url": organization.url,
        "fair_play": organization.fair_play,
        "position_retention_days": organization.position_retention_days,
        "color": organization.color,
    }


def to_response(organization: Organization) -> dict[str, Any]:
    """Return the organization as its response."""
    fair_play = (organization.fair_play or {}) if includes_role(organization.role, "admin") else None
    erased_after = organization.closed_at and organization.closed_at + RESTORE_PERIOD
    logo_url = logo_path(organization.slug, organization.logo_digest)
    extra = {"fair_play": fair_play, "erased_after": erased_after, "logo_url": logo_url}
    return OrganizationResponse.model_validate(vars(organization) | extra).model_dump(mode="json")
