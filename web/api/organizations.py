"""Organizations and their members over HTTP."""

from dataclasses import replace
from typing import Annotated, Any, Self
from uuid import UUID

from flask_openapi import APIBlueprint, Tag
from pydantic import Field, model_validator

from shared.errors import FieldError, Forbidden, Invalid, LastOwner, NotFound
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.pubsub_messages import publish_access_change
from shared.organizations import store
from shared.organizations.rules import SLUG, Role, has_owner_after, includes_role
from shared.organizations.store import Member, Organization
from shared.scans.fair_play import MAX_WINDOW_SECONDS
from web.http.audit_log import record, record_change
from web.http.auth import current_player_id, requires_login, requires_role
from web.http.idempotency import idempotent, transaction
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.schemas import (
    Body,
    HttpUrl,
    Id,
    Name,
    OrganizationPath,
    PatchBody,
    ResponseModel,
    TextFormat,
    Timestamp,
    Username,
    WholeNumber,
)

api = APIBlueprint("organizations", __name__, url_prefix="/api/organizations", abp_tags=[Tag(name="Organizations")])

WindowSeconds = Annotated[int, WholeNumber(1, MAX_WINDOW_SECONDS), Field(description="Up to 30 days")]
Slug = Annotated[
    str, TextFormat(SLUG, "must be 1 to 64 lowercase letters and digits, with single hyphens between", max_length=64)
]


class MemberPath(OrganizationPath):
    player_id: Id


class OrganizationBody(Body):
    """Without `slug`, one is made from the name. `url` is the target of the organization's own code."""

    name: Name
    slug: Slug | None = None
    url: HttpUrl | None = None


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
            raise ValueError("per_player or per_code is required")
        return self


class FairPlayBody(Body):
    """Rules that hold scans for review. They replace the current rules. A null turns a rule off."""

    identical_coordinates: IdenticalCoordinatesBody | None = None
    burst: BurstBody | None = None


class OrganizationPatchBody(PatchBody):
    name: Name = ""
    slug: Slug = ""
    url: HttpUrl | None = None
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


class OrganizationsResponse(ResponseModel):
    items: list[OrganizationResponse]
    next_cursor: str | None


class MemberBody(Body):
    """The username of the new member, and their role."""

    username: Username
    role: Role


class MemberPatchBody(Body):
    role: Role


class MemberResponse(ResponseModel):
    """A member. `created_at` is when they joined."""

    player_id: Id
    username: str
    role: Role
    created_at: Timestamp


class MembersResponse(ResponseModel):
    items: list[MemberResponse]
    next_cursor: str | None


@api.post("", responses={201: OrganizationResponse, 409: None})
@requires_login
@idempotent
def create_organization(body: OrganizationBody) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Create an organization

    The caller becomes its owner. 409 if the slug is taken.
    """
    with transaction() as conn:
        org_id = store.add(conn, current_player_id(), body.name, body.slug, body.url)
        organization = _find(conn, org_id)
        record(conn, "organization.created", org_id=org_id, object_id=org_id, new=_audit_fields(organization))
        return _to_response(organization), 201, {"Location": f"{api.url_prefix}/{org_id}"}


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
    return {"items": [_to_response(organization) for organization in page], "next_cursor": next_cursor}


@api.get("/<org_id>", responses={200: OrganizationResponse})
@requires_role("member")
def get_organization(path: OrganizationPath) -> dict[str, Any]:
    """Get an organization

    Needs the role member.
    """
    with db.connection() as conn:
        return _to_response(_find(conn, path.org_id))


@api.patch("/<org_id>", responses={200: OrganizationResponse, 409: None})
@requires_role("owner")
def update_organization(path: OrganizationPath, body: OrganizationPatchBody) -> dict[str, Any]:
    """Change an organization

    Needs the role owner. Changes only the fields in the body. A null `url` removes it, a null `fair_play` turns its
    rules off. 409 if the slug is taken.
    """
    changes = body.changes()
    if "fair_play" in changes:
        changes["fair_play"] = _active_rules(body.fair_play)
    with db.transaction() as conn:
        store.lock(conn, path.org_id)
        before = _find(conn, path.org_id)
        store.save(conn, replace(before, **changes))
        after = _find(conn, path.org_id)
        states = _audit_fields(before), _audit_fields(after)
        record_change(conn, "organization.changed", *states, org_id=path.org_id, object_id=path.org_id)
        return _to_response(after)


@api.get("/<org_id>/members", responses={200: MembersResponse})
@requires_role("member")
def list_members(path: OrganizationPath, query: PageQuery) -> dict[str, Any]:
    """List members

    Needs the role member. In the order in which the players registered.
    """
    after = decode_id(query.cursor)
    with db.connection() as conn:
        members = store.list_members(conn, path.org_id, limit=query.limit + 1, after=after)
    page, next_cursor = paginate(members, query.limit, lambda member: (str(member.player_id),))
    return {"items": [_to_member(member) for member in page], "next_cursor": next_cursor}


@api.post("/<org_id>/members", responses={201: MemberResponse, 409: None})
@requires_role("owner")
@idempotent
def add_member(path: OrganizationPath, body: MemberBody) -> tuple[dict[str, Any], int]:
    """Add a member

    Needs the role owner. 409 if the player is already a member.
    """
    with transaction() as conn:
        player_id = store.add_member(conn, path.org_id, body.username, body.role)
        if player_id is None:
            raise Invalid(FieldError("body.username", "no player has this username"))
        record(conn, "member.added", org_id=path.org_id, object_id=player_id, new={"role": body.role})
        return _to_member(_find_member(conn, path.org_id, player_id)), 201


@api.patch("/<org_id>/members/<player_id>", responses={200: MemberResponse, 409: None})
@requires_role("owner")
def update_member(path: MemberPath, body: MemberPatchBody) -> dict[str, Any]:
    """Change a member's role

    Needs the role owner. 409 for the last owner.
    """
    with db.transaction() as conn:
        owners = store.lock_owners(conn, path.org_id)
        # A concurrent request may have removed the caller since the role was checked.
        if current_player_id() not in owners:
            raise Forbidden
        if not has_owner_after(owners, path.player_id, body.role):
            raise LastOwner
        old = {"role": _find_member(conn, path.org_id, path.player_id).role}
        new = {"role": body.role}
        store.set_role(conn, path.org_id, path.player_id, body.role)
        record_change(conn, "member.changed", old, new, org_id=path.org_id, object_id=path.player_id)
        response = _to_member(_find_member(conn, path.org_id, path.player_id))
    publish_access_change(path.player_id)
    return response


@api.delete("/<org_id>/members/<player_id>", responses={204: None, 409: None})
@requires_role("member")
def remove_member(path: MemberPath) -> tuple[str, int]:
    """Remove a member, or leave

    Needs the role owner, except to leave. 409 for the last owner.
    """
    with db.transaction() as conn:
        owners = store.lock_owners(conn, path.org_id)
        if current_player_id() not in owners and path.player_id != current_player_id():
            raise Forbidden
        if not has_owner_after(owners, path.player_id, None):
            raise LastOwner
        old = {"role": _find_member(conn, path.org_id, path.player_id).role}
        store.remove_member(conn, path.org_id, path.player_id)
        record(conn, "member.removed", org_id=path.org_id, object_id=path.player_id, old=old)
    publish_access_change(path.player_id)
    return "", 204


def _find(conn: Conn, org_id: UUID) -> Organization:
    """Return the organization. Raise Forbidden if the caller was removed since the role was checked."""
    organization = store.find(conn, org_id, current_player_id())
    if organization is None:
        raise Forbidden
    return organization


def _find_member(conn: Conn, org_id: UUID, player_id: UUID) -> Member:
    member = store.find_member(conn, org_id, player_id)
    if member is None:
        raise NotFound
    return member


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


def _to_response(organization: Organization) -> dict[str, Any]:
    fair_play = (organization.fair_play or {}) if includes_role(organization.role, "admin") else None
    return OrganizationResponse.model_validate(vars(organization) | {"fair_play": fair_play}).model_dump(mode="json")


def _to_member(member: Member) -> dict[str, Any]:
    return MemberResponse.model_validate(member).model_dump(mode="json")
