"""Invitations of an organization over HTTP: create, list, revoke."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from flask import Response, request
from flask_openapi import APIBlueprint, Tag
from pydantic import AfterValidator, Field, model_validator

from shared.accounts import store as accounts
from shared.errors import FieldError, Forbidden, Invalid, NotFound, TooManyInvitations
from shared.images.plain_svg import render_plain_svg
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import invitations, members
from shared.organizations import store as organizations
from shared.organizations.invitations import Invitation
from shared.organizations.rules import (
    INVITATION_LIFETIME,
    MAX_INVITATION_LIFETIME,
    MAX_INVITATION_USES,
    MAX_OPEN_INVITATIONS,
    Role,
    can_invite,
)
from web.http.audit_log import record
from web.http.auth import current_player_id, requires_role
from web.http.idempotency import documents_idempotency_key, run_once, transaction
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.schemas import Body, Id, OrganizationPath, ResponseModel, Timestamp, Username, WholeNumber
from web.http.settings import current_settings

api = APIBlueprint(
    "invitations", __name__, url_prefix="/api/organizations/<org_id>/invitations", abp_tags=[Tag(name="Organizations")]
)


def _within_limit(value: datetime) -> datetime:
    now = datetime.now(UTC)
    if not now < value <= now + MAX_INVITATION_LIFETIME:
        raise ValueError(f"Use a time in the next {MAX_INVITATION_LIFETIME.days} days.")
    return value


class InvitationPath(OrganizationPath):
    invitation_id: Id


class InvitationBody(Body):
    """The offered role. With `username`, only this player can accept. Without it, any player who has the link can."""

    role: Role = Field(description="The role that a player gets by accepting", examples=["analyst"])
    username: Username | None = Field(None, description="The invited player; null or absent: a link", examples=["ada"])
    uses: Annotated[int, WholeNumber(1, MAX_INVITATION_USES)] = Field(
        1, description="How many players can accept. With a `username` or the role owner: 1.", examples=[1]
    )
    expires_at: Annotated[Timestamp, AfterValidator(_within_limit)] | None = Field(
        None, description="At most 90 days from now; 7 days from now if absent", examples=[None]
    )

    @model_validator(mode="after")
    def _has_one_use(self) -> "InvitationBody":
        if self.uses > 1 and (self.username is not None or self.role == "owner"):
            raise ValueError("Set uses to 1 for a username or the role owner.")
        return self


class InvitationResponse(ResponseModel):
    """An open invitation, as the staff of the organization see it. `player_id` and `username` are null for a link."""

    id: Id = Field(description="Id of the invitation")
    role: Role = Field(description="The role that a player gets by accepting", examples=["analyst"])
    player_id: Id | None = Field(description="The invited player")
    username: str | None = Field(description="The invited player's current username")
    uses: int = Field(description="How many players can accept", examples=[1])
    uses_left: int = Field(description="How many more players can accept", examples=[1])
    created_by: Id | None = Field(description="The member who created it; null: an operator or an erased account")
    created_at: Timestamp = Field(description="Time of creation")
    expires_at: Timestamp = Field(description="From then on, it cannot be accepted")


class NewInvitationResponse(InvitationResponse):
    url: str = Field(
        description="Path of the invitation. That of a link contains its secret, and is shown only once.",
        examples=["/invitations/x3h0rUWYqLzXb0tMZ7mJQ3kq1v2c4d5e6f7g8h9i0j1"],
    )
    qr_svg: str = Field(
        description="QR code of the invitation's page below PUBLIC_URL, as SVG",
        examples=['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 33 33">…</svg>'],
    )


class InvitationsResponse(ResponseModel):
    items: list[InvitationResponse] = Field(description="A page of open invitations")
    next_cursor: str | None = Field(description="Cursor of the next page; null at the end")


@api.post("", responses={201: NewInvitationResponse, 409: None})
@requires_role("admin")
@documents_idempotency_key
def create_invitation(path: OrganizationPath, body: InvitationBody) -> Response:
    """Create an invitation

    Needs the role admin for the roles member and analyst, the role owner for all roles. No player becomes a member
    before they accept. 409 if the player is a member with at least this role, has an open invitation, or the
    organization has 200 open ones. Only a retry with the same Idempotency-Key returns the URL of a link again.
    """
    # Only the response with the secret of a link is encrypted: an erasure replaces the username in the others.
    return run_once(current_player_id(), lambda: (_create(path.org_id, body), 201), encrypted=body.username is None)


@api.get("", responses={200: InvitationsResponse})
@requires_role("admin")
def list_invitations(path: OrganizationPath, query: PageQuery) -> dict[str, Any]:
    """List invitations

    Needs the role admin. Newest first, without those that were used up, declined or revoked, or have expired.
    """
    before = decode_id(query.cursor)
    with db.connection() as conn:
        open_invitations = invitations.list_for_organization(conn, path.org_id, limit=query.limit + 1, before=before)
    page, next_cursor = paginate(open_invitations, query.limit, lambda invitation: (str(invitation.id),))
    return {"items": [_to_response(invitation) for invitation in page], "next_cursor": next_cursor}


@api.delete("/<invitation_id>", responses={204: None})
@requires_role("admin")
def revoke_invitation(path: InvitationPath) -> tuple[str, int]:
    """Revoke an invitation

    Needs the role that may create it. Players who have accepted it remain members.
    """
    with db.transaction() as conn:
        organizations.lock(conn, path.org_id)
        invitation = invitations.end(conn, path.org_id, path.invitation_id)
        if invitation is None:
            raise NotFound
        if not can_invite(members.get_role(conn, path.org_id, current_player_id()), invitation.role):
            raise Forbidden
        record(conn, "invitation.revoked", org_id=path.org_id, object_id=invitation.id, old=audit_fields(invitation))
    return "", 204


def _create(org_id: UUID, body: InvitationBody) -> dict[str, Any]:
    with transaction() as conn:
        if body.username is not None:
            return invite_by_username(conn, org_id, body.username, body.role, body.expires_at)
        _lock(conn, org_id, body.role)
        token = invitations.new_token()
        invitation = invitations.add(
            conn,
            org_id,
            body.role,
            token=token,
            uses=body.uses,
            expires_at=body.expires_at or datetime.now(UTC) + INVITATION_LIFETIME,
            created_by=current_player_id(),
        )
        return _record_created(conn, invitation, token)


def invite_by_username(
    conn: Conn, org_id: UUID, username: str, role: Role, expires_at: datetime | None = None
) -> dict[str, Any]:
    """Store an invitation of the player with this username, and return the response. Raise Invalid if there is none."""
    player_id = accounts.find_id(conn, username)
    if player_id is None or not invitations.lock_player(conn, player_id):
        raise Invalid(FieldError("body.username", "No player has this username."))
    return invite_player(conn, org_id, player_id, role, expires_at)


def invite_player(
    conn: Conn, org_id: UUID, player_id: UUID, role: Role, expires_at: datetime | None = None
) -> dict[str, Any]:
    """Store an invitation of this player, and return the response.

    The caller holds the lock of `lock_player`, or that of the organization, and the player is a member.
    """
    _lock(conn, org_id, role)
    members.require_lower_role(conn, org_id, player_id, role)
    invitation = invitations.add(
        conn,
        org_id,
        role,
        player_id=player_id,
        expires_at=expires_at or datetime.now(UTC) + INVITATION_LIFETIME,
        created_by=current_player_id(),
    )
    return _record_created(conn, invitation, str(invitation.id))


def _lock(conn: Conn, org_id: UUID, role: Role) -> None:
    """Lock the organization. Raise Forbidden if the caller may not invite to this role, and TooManyInvitations."""
    organizations.lock(conn, org_id)
    # A concurrent request may have removed the caller since the role was checked.
    if not can_invite(members.get_role(conn, org_id, current_player_id()), role):
        raise Forbidden(f"Your role may not invite players to the role {role}.")
    if invitations.count_open(conn, org_id) >= MAX_OPEN_INVITATIONS:
        raise TooManyInvitations


def _record_created(conn: Conn, invitation: Invitation, reference: str) -> dict[str, Any]:
    fields = audit_fields(invitation)
    record(conn, "invitation.created", org_id=invitation.org_id, object_id=invitation.id, new=fields)
    path = f"/invitations/{reference}"
    base = current_settings().public_url or request.host_url.rstrip("/")
    return _to_response(invitation) | {"url": path, "qr_svg": render_plain_svg(base + path)}


def audit_fields(invitation: Invitation) -> dict[str, Any]:
    """Return what the audit log stores: the player's id, not the username, which may be erased."""
    return {
        "role": invitation.role,
        "player_id": invitation.player_id,
        "uses": invitation.uses,
    }


def _to_response(invitation: Invitation) -> dict[str, Any]:
    return InvitationResponse.model_validate(invitation).model_dump(mode="json")
