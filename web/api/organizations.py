"""Organizations and their members over HTTP."""

from dataclasses import replace
from typing import Annotated, Any, Self
from uuid import UUID

from flask_openapi import APIBlueprint, Tag
from pydantic import Field, StringConstraints, model_validator

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
    PositiveInt,
    ResponseModel,
    Timestamp,
    Username,
)

api = APIBlueprint("organizations", __name__, url_prefix="/api/organizations", abp_tags=[Tag(name="Organizations")])

WindowSeconds = Annotated[PositiveInt, Field(le=MAX_WINDOW_SECONDS, description="Up to 30 days")]
Slug = Annotated[str, StringConstraints(max_length=64, pattern=SLUG)]


class MemberPath(OrganizationPath):
    player_id: Id


class OrganizationBody(Body):
    """`slug` is made from the name if absent; `url` is where the organization's own code leads."""

    name: Name
    slug: Slug | None = None
    url: HttpUrl | None = None


class IdenticalCoordinatesBody(Body):
    """Hold a scan with which so many players, within the window, were at one position to the last digit."""

    window_seconds: WindowSeconds
    players: Annotated[PositiveInt, Field(ge=2, le=1_000)] = 2


class BurstBody(Body):
    """Hold a scan around which the window has as many as are allowed: of its player, or of its code. One at least."""

    window_seconds: WindowSeconds
    per_player: Annotated[PositiveInt, Field(le=100_000)] | None = None
    per_code: Annotated[PositiveInt, Field(le=100_000)] | None = None

    @model_validator(mode="after")
    def _requires_a_limit(self) -> Self:
        if self.per_player is None and self.per_code is None:
            raise ValueError("per_player or per_code, or both, must be given")
        return self


class FairPlayBody(Body):
    """Rules for holding scans until staff review them. They replace those before as a whole; null is off."""

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
    role: Role
    fair_play: FairPlayResponse | None = Field(description="Told to admins and owners only, else null")
    created_at: Timestamp
    updated_at: Timestamp


class OrganizationsResponse(ResponseModel):
    items: list[OrganizationResponse]
    next_cursor: str | None


class MemberBody(Body):
    """Whom to add, by name, and as what."""

    username: Username
    role: Role


class MemberPatchBody(Body):
    role: Role


class MemberResponse(ResponseModel):
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
    """Found an organization; the caller becomes its owner."""
    with transaction() as conn:
        org_id = store.add(conn, current_player_id(), body.name, body.slug, body.url)
        made = _own(conn, org_id)
        record(conn, "organization.created", org_id=org_id, object_id=org_id, new=_audit_fields(made))
        return _organization(made), 201, {"Location": f"{api.url_prefix}/{org_id}"}


@api.get("", responses={200: OrganizationsResponse})
@requires_login
def list_organizations(query: PageQuery) -> dict[str, Any]:
    """The organizations the caller belongs to, newest first."""
    before = decode_id(query.cursor)
    with db.connection() as conn:
        found = store.of_player(conn, current_player_id(), limit=query.limit + 1, before=before)
    page, next_cursor = paginate(found, query.limit, lambda organization: (str(organization.id),))
    return {"items": [_organization(organization) for organization in page], "next_cursor": next_cursor}


@api.get("/<org_id>", responses={200: OrganizationResponse})
@requires_role("member")
def get_organization(path: OrganizationPath) -> dict[str, Any]:
    """One organization."""
    with db.connection() as conn:
        return _organization(_own(conn, path.org_id))


@api.patch("/<org_id>", responses={200: OrganizationResponse, 409: None})
@requires_role("owner")
def update_organization(path: OrganizationPath, body: OrganizationPatchBody) -> dict[str, Any]:
    """Change the fields given; null takes the url away, and switches rules of fair play off."""
    changes = body.changes()
    if "fair_play" in changes:
        changes["fair_play"] = _asked(body.fair_play)
    with db.transaction() as conn:
        store.lock(conn, path.org_id)
        before = _own(conn, path.org_id)
        store.save(conn, replace(before, **changes))
        changed = _own(conn, path.org_id)
        states = _audit_fields(before), _audit_fields(changed)
        record_change(conn, "organization.changed", *states, org_id=path.org_id, object_id=path.org_id)
        return _organization(changed)


@api.get("/<org_id>/members", responses={200: MembersResponse})
@requires_role("member")
def list_members(path: OrganizationPath, query: PageQuery) -> dict[str, Any]:
    """Who belongs to the organization, the longest registered first."""
    after = decode_id(query.cursor)
    with db.connection() as conn:
        found = store.list_members(conn, path.org_id, limit=query.limit + 1, after=after)
    page, next_cursor = paginate(found, query.limit, lambda member: (str(member.player_id),))
    return {"items": [_member(member) for member in page], "next_cursor": next_cursor}


@api.post("/<org_id>/members", responses={201: MemberResponse, 409: None})
@requires_role("owner")
@idempotent
def add_member(path: OrganizationPath, body: MemberBody) -> tuple[dict[str, Any], int]:
    """Add a player by name, at once."""
    with transaction() as conn:
        player_id = store.add_member(conn, path.org_id, body.username, body.role)
        if player_id is None:
            raise Invalid(FieldError("body.username", "nobody has this name"))
        record(conn, "member.added", org_id=path.org_id, object_id=player_id, new={"role": body.role})
        return _member(_member_of(conn, path.org_id, player_id)), 201


@api.patch("/<org_id>/members/<player_id>", responses={200: MemberResponse, 409: None})
@requires_role("owner")
def update_member(path: MemberPath, body: MemberPatchBody) -> dict[str, Any]:
    """Give a member another role. The last owner stays: 409."""
    with db.transaction() as conn:
        owners = store.lock_owners(conn, path.org_id)
        if current_player_id() not in owners:  # any more: somebody else was first, after the gate had looked
            raise Forbidden
        if not has_owner_after(owners, path.player_id, body.role):
            raise LastOwner
        before = {"role": _member_of(conn, path.org_id, path.player_id).role}
        store.set_role(conn, path.org_id, path.player_id, body.role)
        new = {"role": body.role}
        record_change(conn, "member.changed", before, new, org_id=path.org_id, object_id=path.player_id)
        changed = _member(_member_of(conn, path.org_id, path.player_id))
    publish_access_change(path.player_id)
    return changed


@api.delete("/<org_id>/members/<player_id>", responses={204: None, 409: None})
@requires_role("member")
def remove_member(path: MemberPath) -> tuple[str, int]:
    """Remove a member, as an owner, or leave. The last owner stays: 409."""
    with db.transaction() as conn:
        owners = store.lock_owners(conn, path.org_id)
        if current_player_id() not in owners and path.player_id != current_player_id():
            raise Forbidden
        if not has_owner_after(owners, path.player_id, None):
            raise LastOwner
        before = {"role": _member_of(conn, path.org_id, path.player_id).role}
        store.remove_member(conn, path.org_id, path.player_id)
        record(conn, "member.removed", org_id=path.org_id, object_id=path.player_id, old=before)
    publish_access_change(path.player_id)
    return "", 204


def _own(conn: Conn, org_id: UUID) -> Organization:
    found = store.find(conn, org_id, current_player_id())
    if found is None:  # the caller was removed, a moment after the gate
        raise Forbidden
    return found


def _member_of(conn: Conn, org_id: UUID, player_id: UUID) -> Member:
    found = store.find_member(conn, org_id, player_id)
    if found is None:
        raise NotFound
    return found


def _asked(fair_play: FairPlayBody | None) -> dict[str, Any] | None:
    """As it is stored: null where nothing is asked, so that judging finds at once those who ask."""
    rules = fair_play.model_dump() if fair_play else {}
    return rules if any(rules.values()) else None


def _audit_fields(found: Organization) -> dict[str, Any]:
    return {"name": found.name, "slug": found.slug, "url": found.url, "fair_play": found.fair_play}


def _organization(found: Organization) -> dict[str, Any]:
    fair_play = (found.fair_play or {}) if includes_role(found.role, "admin") else None
    return OrganizationResponse.model_validate(vars(found) | {"fair_play": fair_play}).model_dump(mode="json")


def _member(found: Member) -> dict[str, Any]:
    return MemberResponse.model_validate(found).model_dump(mode="json")
