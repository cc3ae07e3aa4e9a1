"""Organizations over HTTP."""

from dataclasses import replace
from typing import Annotated, Any, Self
from uuid import UUID

from flask_openapi import APIBlueprint, Tag
from pydantic import Field, model_validator

from shared.accounts import store as accounts
from shared.codes.target_urls import TargetUrl
from shared.errors import Forbidden
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import store
from shared.organizations.rules import RESTORE_PERIOD, SLUG, Role, includes_role
from shared.organizations.store import Organization
from shared.scans.fair_play import MAX_WINDOW_SECONDS
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

WindowSeconds = Annotated[int, WholeNumber(1, MAX_WINDOW_SECONDS), Field(description="Up to 30 days")]
Slug = Annotated[
    str, TextFormat(SLUG, "Use 1 to 64 lowercase letters and digits, with single hyphens between.", max_length=64)
]


class OrganizationBody(Body):
    """Without `slug`, one is made from the name. `url` is the target of the organization's own code."""

    name: Name
    slug: Slug | None = None
    url: TargetUrl | None = None


class IdenticalCoordinatesBody(Body):
    """Hold a scan if at least `players` players, within the window, submitted exactly the same coordinates."""

    window_seconds: WindowSeconds
    players: Annotated[int, WholeNumber(2, 1_000)] = 2


class BurstBody(Body):
    """Hold a scan if the window has `per_player` other scans of its player, or `per_code` of its code.

    At least one of the two is required.
    """

    window_seconds: WindowSeconds
    per_player: Annotated[int, WholeNumber(1, 100_000)] | None = None
    per_code: Annotated[int, WholeNumber(1, 100_000)] | None = None

    @model_validator(mode="after")
    def _requires_a_limit(self) -> Self:
        if self.per_player is None and self.per_code is None:
            raise ValueError("Give per_player or per_code.")
        return self


class FairPlayBody(Body):
    """Rules that hold scans for review. They replace the current rules. A null turns a rule off."""

    identical_coordinates: IdenticalCoordinatesBody | None = None
    burst: BurstBody | None = None


class OrganizationPatchBody(PatchBody):
    name: Name = ""
    slug: Slug = ""
    url: TargetUrl | None = None
    fair_play: FairPlayBody | None = None


class IdenticalCoordinatesResponse(ResponseModel):
    window_seconds: int
    players: int


class BurstResponse(ResponseModel):
    window_seconds: int
    per_player: int | None
    per_code: int | None


class FairPlayResponse(ResponseModel):
    identical_coordinates: IdenticalCoordinatesResponse | None = None
    burst: BurstResponse | None = None


class OrganizationResponse(ResponseModel):
    """An organization, and the caller's role in it."""

    id: Id
    name: str
    slug: str
    url: str | None
    role: Role = Field(examples=["owner"])
    fair_play: FairPlayResponse | None = Field(description="For admins and owners; null for other roles")
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
        organization = find_organization(conn, org_id)
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
        return to_response(find_organization(conn, path.org_id))


@api.patch("/<org_id>", responses={200: OrganizationResponse, 409: None})
@requires_role("owner")
def update_organization(path: OrganizationPath, body: OrganizationPatchBody) -> dict[str, Any]:
    """Change an organization

    Needs the role owner. Changes only the fields in the body. A null `url` removes it, a null `fair_play` turns its
    rules off. 409 if the slug is taken. An old slug redirects to the new one, as an alias.
    """
    changes = body.changes()
    if "fair_play" in changes:
        changes["fair_play"] = _active_rules(body.fair_play)
    with db.transaction() as conn:
        store.lock(conn, path.org_id)
        before = find_organization(conn, path.org_id)
        store.save(conn, replace(before, **changes))
        after = find_organization(conn, path.org_id)
        states = _audit_fields(before), _audit_fields(after)
        record_change(conn, "organization.changed", *states, org_id=path.org_id, object_id=path.org_id)
        return to_response(after)


def find_organization(conn: Conn, org_id: UUID) -> Organization:
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


def _active_rules(fair_play: FairPlayBody | None) -> dict[str, Any] | None:
    """Return the rules to store, or None if all are off: judging reads only organizations with rules."""
    rules = fair_play.model_dump() if fair_play else {}
    return rules if any(rules.values()) else None


def _audit_fields(organization: Organization) -> dict[str, Any]:
    return {
        "name": organization.name,
        "slug": organization.slug,
        "url": organization.url,
        "fair_play": organization.fair_play,
    }


def to_response(organization: Organization) -> dict[str, Any]:
    fair_play = (organization.fair_play or {}) if includes_role(organization.role, "admin") else None
    erased_after = organization.closed_at and organization.closed_at + RESTORE_PERIOD
    extra = {"fair_play": fair_play, "erased_after": erased_after}
    return OrganizationResponse.model_validate(vars(organization) | extra).model_dump(mode="json")
