"""Organizations and their members over HTTP."""

from dataclasses import replace
from typing import Annotated, Any, Self
from uuid import UUID

from flask_openapi import APIBlueprint, Tag
from pydantic import Field, StringConstraints, model_validator

from shared.errors import Fault, Forbidden, Invalid, LastOwner, NotFound
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.pubsub_messages import tell_ended
from shared.organizations import store
from shared.organizations.rules import SLUG, Role, at_least, keeps_an_owner
from shared.organizations.store import Member, Organization
from shared.scans.fair_play import MAX_WINDOW_SECONDS
from web.api.audit import audit, audit_change
from web.http.auth import me, requires_role, signed_in
from web.http.idempotency import idempotent, transaction
from web.http.pagination import PageQuery, cut, decode_id
from web.http.schemas import Answer, Body, Count, Id, Line, PatchBody, Time, Username, WebUrl

api = APIBlueprint("organizations", __name__, url_prefix="/api/organizations", abp_tags=[Tag(name="Organizations")])

Name = Annotated[Line, StringConstraints(min_length=1, max_length=200)]
Window = Annotated[Count, Field(le=MAX_WINDOW_SECONDS, description="Up to 30 days")]
Slug = Annotated[str, StringConstraints(max_length=64, pattern=SLUG)]


class OrganizationPath(Body):
    org_id: Id


class MemberPath(OrganizationPath):
    player_id: Id


class OrganizationBody(Body):
    """`slug` is made from the name if absent; `url` is where the organization's own code leads."""

    name: Name
    slug: Slug | None = None
    url: WebUrl | None = None


class IdenticalCoordinatesBody(Body):
    """Hold a scan with which so many players, within the window, were at one position to the last digit."""

    window_seconds: Window
    players: Annotated[Count, Field(ge=2, le=1_000)] = 2


class BurstBody(Body):
    """Hold a scan around which the window has as many as are allowed: of its player, or of its code. One at least."""

    window_seconds: Window
    per_player: Annotated[Count, Field(le=100_000)] | None = None
    per_code: Annotated[Count, Field(le=100_000)] | None = None

    @model_validator(mode="after")
    def _says_how_many(self) -> Self:
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
    url: WebUrl | None = None
    fair_play: FairPlayBody | None = None


class IdenticalCoordinatesAnswer(Answer):
    window_seconds: int
    players: int


class BurstAnswer(Answer):
    window_seconds: int
    per_player: int | None
    per_code: int | None


class FairPlayAnswer(Answer):
    identical_coordinates: IdenticalCoordinatesAnswer | None = None
    burst: BurstAnswer | None = None


class OrganizationAnswer(Answer):
    """An organization, and the caller's role in it."""

    id: Id
    name: str
    slug: str
    url: str | None
    role: Role
    fair_play: FairPlayAnswer | None = Field(description="Told to admins and owners only, else null")
    created_at: Time
    updated_at: Time


class OrganizationsAnswer(Answer):
    items: list[OrganizationAnswer]
    next_cursor: str | None


class MemberBody(Body):
    """Whom to add, by name, and as what."""

    username: Username
    role: Role


class MemberPatchBody(Body):
    role: Role


class MemberAnswer(Answer):
    player_id: Id
    username: str
    role: Role
    created_at: Time


class MembersAnswer(Answer):
    items: list[MemberAnswer]
    next_cursor: str | None


@api.post("", responses={201: OrganizationAnswer, 409: None})
@signed_in
@idempotent
def create(body: OrganizationBody) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Found an organization; the caller becomes its owner."""
    with transaction() as conn:
        org_id = store.add(conn, me(), body.name, body.slug, body.url)
        made = _own(conn, org_id)
        audit(conn, "organization.created", org_id=org_id, object_id=org_id, new=_audited(made))
        return _organization(made), 201, {"Location": f"{api.url_prefix}/{org_id}"}


@api.get("", responses={200: OrganizationsAnswer})
@signed_in
def list_own(query: PageQuery) -> dict[str, Any]:
    """The organizations the caller belongs to, newest first."""
    before = decode_id(query.cursor)
    with db.connection() as conn:
        found = store.of_player(conn, me(), limit=query.limit + 1, before=before)
    page, next_cursor = cut(found, query.limit, lambda organization: (str(organization.id),))
    return {"items": [_organization(organization) for organization in page], "next_cursor": next_cursor}


@api.get("/<org_id>", responses={200: OrganizationAnswer})
@requires_role("member")
def look_up(path: OrganizationPath) -> dict[str, Any]:
    """One organization."""
    with db.connection() as conn:
        return _organization(_own(conn, path.org_id))


@api.patch("/<org_id>", responses={200: OrganizationAnswer, 409: None})
@requires_role("owner")
def change(path: OrganizationPath, body: OrganizationPatchBody) -> dict[str, Any]:
    """Change the fields given; null takes the url away, and switches rules of fair play off."""
    changes = body.changes()
    if "fair_play" in changes:
        changes["fair_play"] = _asked(body.fair_play)
    with db.transaction() as conn:
        store.lock(conn, path.org_id)
        before = _own(conn, path.org_id)
        store.save(conn, replace(before, **changes))
        changed = _own(conn, path.org_id)
        states = _audited(before), _audited(changed)
        audit_change(conn, "organization.changed", *states, org_id=path.org_id, object_id=path.org_id)
        return _organization(changed)


@api.get("/<org_id>/members", responses={200: MembersAnswer})
@requires_role("member")
def list_members(path: OrganizationPath, query: PageQuery) -> dict[str, Any]:
    """Who belongs to the organization, the longest registered first."""
    after = decode_id(query.cursor)
    with db.connection() as conn:
        found = store.members(conn, path.org_id, limit=query.limit + 1, after=after)
    page, next_cursor = cut(found, query.limit, lambda member: (str(member.player_id),))
    return {"items": [_member(member) for member in page], "next_cursor": next_cursor}


@api.post("/<org_id>/members", responses={201: MemberAnswer, 409: None})
@requires_role("owner")
@idempotent
def add_member(path: OrganizationPath, body: MemberBody) -> tuple[dict[str, Any], int]:
    """Add a player by name, at once."""
    with transaction() as conn:
        player_id = store.add_member(conn, path.org_id, body.username, body.role)
        if player_id is None:
            raise Invalid(Fault("body.username", "nobody has this name"))
        audit(conn, "member.added", org_id=path.org_id, object_id=player_id, new={"role": body.role})
        return _member(_member_of(conn, path.org_id, player_id)), 201


@api.patch("/<org_id>/members/<player_id>", responses={200: MemberAnswer, 409: None})
@requires_role("owner")
def change_member(path: MemberPath, body: MemberPatchBody) -> dict[str, Any]:
    """Give a member another role. The last owner stays: 409."""
    with db.transaction() as conn:
        owners = store.lock_owners(conn, path.org_id)
        if me() not in owners:  # any more: somebody else was first, after the gate had looked
            raise Forbidden
        if not keeps_an_owner(owners, path.player_id, body.role):
            raise LastOwner
        before = {"role": _member_of(conn, path.org_id, path.player_id).role}
        store.set_role(conn, path.org_id, path.player_id, body.role)
        new = {"role": body.role}
        audit_change(conn, "member.changed", before, new, org_id=path.org_id, object_id=path.player_id)
        changed = _member(_member_of(conn, path.org_id, path.player_id))
    tell_ended(path.player_id)
    return changed


@api.delete("/<org_id>/members/<player_id>", responses={204: None, 409: None})
@requires_role("member")
def remove_member(path: MemberPath) -> tuple[str, int]:
    """Remove a member, as an owner, or leave. The last owner stays: 409."""
    with db.transaction() as conn:
        owners = store.lock_owners(conn, path.org_id)
        if me() not in owners and path.player_id != me():
            raise Forbidden
        if not keeps_an_owner(owners, path.player_id, None):
            raise LastOwner
        before = {"role": _member_of(conn, path.org_id, path.player_id).role}
        store.remove_member(conn, path.org_id, path.player_id)
        audit(conn, "member.removed", org_id=path.org_id, object_id=path.player_id, old=before)
    tell_ended(path.player_id)
    return "", 204


def _own(conn: Conn, org_id: UUID) -> Organization:
    found = store.find(conn, org_id, me())
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


def _audited(found: Organization) -> dict[str, Any]:
    return {"name": found.name, "slug": found.slug, "url": found.url, "fair_play": found.fair_play}


def _organization(found: Organization) -> dict[str, Any]:
    fair_play = (found.fair_play or {}) if at_least(found.role, "admin") else None
    return OrganizationAnswer.model_validate(vars(found) | {"fair_play": fair_play}).model_dump(mode="json")


def _member(found: Member) -> dict[str, Any]:
    return MemberAnswer.model_validate(found).model_dump(mode="json")
