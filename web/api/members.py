"""Members of an organization over HTTP: list, change roles, remove, leave."""

from typing import Any
from uuid import UUID

from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared.errors import Forbidden, LastOwner, NotFound, OrganizationClosed
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.pubsub_messages import publish_access_change
from shared.organizations import members as store
from shared.organizations import store as organizations
from shared.organizations.members import Member
from shared.organizations.rules import Role, has_owner_after
from web.api.invitations import NewInvitationResponse, invite_by_username, invite_player
from web.http.audit_log import record, record_change
from web.http.auth import current_player_id, requires_role
from web.http.idempotency import idempotent, transaction
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.schemas import Body, Id, OrganizationPath, ResponseModel, Timestamp, Username

api = APIBlueprint(
    "members", __name__, url_prefix="/api/organizations/<org_id>/members", abp_tags=[Tag(name="Organizations")]
)


class MemberPath(OrganizationPath):
    player_id: Id


class MemberBody(Body):
    """The username of the invited player, and the offered role."""

    username: Username = Field(description="The invited player", examples=["ada"])
    role: Role = Field(description="The role that the player gets by accepting", examples=["analyst"])


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


@api.get("", responses={200: MembersResponse})
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


@api.post("", responses={202: NewInvitationResponse, 409: None})
@requires_role("admin")
@idempotent
def invite_member(path: OrganizationPath, body: MemberBody) -> tuple[dict[str, Any], int]:
    """Start an invitation by username

    The same as `POST …/invitations` with a username: the player becomes a member when they accept. Needs the role admin
    for the roles member and analyst, the role owner for all roles. 409 if the player is a member with at least this
    role, or has an open invitation.
    """
    with transaction() as conn:
        return invite_by_username(conn, path.org_id, body.username, body.role), 202


@api.patch("/<player_id>", responses={200: MemberResponse, 202: NewInvitationResponse, 409: None})
@requires_role("owner")
def update_member(path: MemberPath, body: MemberPatchBody) -> tuple[dict[str, Any], int]:
    """Change a member's role

    Needs the role owner. The role owner is offered: 202 with an invitation, and the member becomes an owner when they
    accept. 409 for the last owner, or if the member has an open invitation.
    """
    with db.transaction() as conn:
        owners = store.lock_owners(conn, path.org_id)
        # A concurrent request may have removed the caller since the role was checked.
        if current_player_id() not in owners:
            raise Forbidden
        if not has_owner_after(owners, path.player_id, body.role):
            raise LastOwner
        old = {"role": _find_member(conn, path.org_id, path.player_id).role}
        if body.role == "owner" and path.player_id not in owners:
            return invite_player(conn, path.org_id, path.player_id, body.role), 202
        new = {"role": body.role}
        store.set_role(conn, path.org_id, path.player_id, body.role)
        record_change(conn, "member.changed", old, new, org_id=path.org_id, object_id=path.player_id)
        response = _to_member(_find_member(conn, path.org_id, path.player_id))
    publish_access_change(path.player_id)
    return response, 200


@api.delete("/<player_id>", responses={204: None, 409: None})
@requires_role("member", in_closed=True)
def remove_member(path: MemberPath) -> tuple[str, int]:
    """Remove a member, or leave

    Needs the role owner, except to leave. 409 for the last owner, who can only leave an organization that is closed.
    """
    with db.transaction() as conn:
        owners = store.lock_owners(conn, path.org_id)
        if current_player_id() not in owners and path.player_id != current_player_id():
            raise Forbidden
        is_closed = organizations.is_closed(conn, path.org_id)
        if is_closed and path.player_id != current_player_id():
            raise OrganizationClosed
        if not is_closed and not has_owner_after(owners, path.player_id, None):
            raise LastOwner
        old = {"role": _find_member(conn, path.org_id, path.player_id).role}
        store.remove_member(conn, path.org_id, path.player_id)
        record(conn, "member.removed", org_id=path.org_id, object_id=path.player_id, old=old)
    publish_access_change(path.player_id)
    return "", 204


def _find_member(conn: Conn, org_id: UUID, player_id: UUID) -> Member:
    member = store.find_member(conn, org_id, player_id)
    if member is None:
        raise NotFound
    return member


def _to_member(member: Member) -> dict[str, Any]:
    return MemberResponse.model_validate(member).model_dump(mode="json")
