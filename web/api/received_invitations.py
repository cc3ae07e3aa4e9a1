"""Invitations over HTTP, for the players who get them: list, accept, decline."""

from typing import Any

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from shared.errors import InvitationEnded
from shared.infra import db
from shared.organizations import closing, invitations, members, store
from shared.organizations.rules import Role
from web.api.invitations import audit_fields
from web.http.audit_log import record
from web.http.auth import current_player_id, requires_login
from web.http.idempotency import idempotent, transaction
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.schemas import Id, ResponseModel, Timestamp
from web.http.settings import current_settings

api = APIBlueprint("received_invitations", __name__, abp_tags=[Tag(name="Organizations")])


class TokenPath(BaseModel):
    """The path of an invitation: the secret of a link, or the id of an invitation by username."""

    token: str = Field(examples=["x3h0rUWYqLzXb0tMZ7mJQ3kq1v2c4d5e6f7g8h9i0j1"])


class OfferResponse(ResponseModel):
    """What an invitation offers."""

    organization: str = Field(description="Name of the organization")
    role: Role = Field(description="The role that a player gets by accepting", examples=["analyst"])
    invited_by: str | None = Field(description="Username of the member who created it", examples=["ada"])
    expires_at: Timestamp = Field(description="From then on, it cannot be accepted")


class ReceivedInvitationResponse(OfferResponse):
    """An invitation of the caller by username."""

    id: Id = Field(description="Id of the invitation")
    org_id: Id = Field(description="Id of the organization")
    url: str = Field(
        description="Path of the invitation", examples=["/invitations/0197a6b0-0000-7000-8000-000000000000"]
    )
    created_at: Timestamp = Field(description="Time of creation")


class ReceivedInvitationsResponse(ResponseModel):
    items: list[ReceivedInvitationResponse] = Field(description="A page of the caller's open invitations")
    next_cursor: str | None = Field(description="Cursor of the next page; null at the end")


class AcceptedResponse(ResponseModel):
    """The organization that the caller joined, and their role in it."""

    org_id: Id = Field(description="Id of the organization")
    organization: str = Field(description="Name of the organization")
    role: Role = Field(description="The caller's role", examples=["analyst"])


@api.get("/users/me/invitations", responses={200: ReceivedInvitationsResponse})
@requires_login
def list_received_invitations(query: PageQuery) -> dict[str, Any]:
    """List your invitations

    Open invitations by username, newest first. Invitations by link are not listed, because they name no player.
    """
    before = decode_id(query.cursor)
    with db.connection() as conn:
        received = invitations.list_for_player(conn, current_player_id(), limit=query.limit + 1, before=before)
    page, next_cursor = paginate(received, query.limit, lambda invitation: (str(invitation.id),))
    items = [
        ReceivedInvitationResponse.model_validate(vars(each) | {"url": f"/invitations/{each.id}"}) for each in page
    ]
    return {"items": [item.model_dump(mode="json") for item in items], "next_cursor": next_cursor}


@api.post("/invitations/<token>/accept", responses={200: AcceptedResponse, 404: None, 409: None, 410: None})
@requires_login
@idempotent
def accept_invitation(path: TokenPath) -> dict[str, Any]:
    """Accept an invitation

    The caller becomes a member with the offered role. A member gets it if it is higher than their own, else 409. 409
    also for the role owner if the caller owns as many organizations as the quota allows. 404 for an invitation of
    another player. 410 if it was used up, declined or revoked, or has expired.
    """
    player_id = current_player_id()
    with transaction() as conn:
        invitation = invitations.lock(conn, path.token, player_id)
        old_role = members.require_lower_role(conn, invitation.org_id, player_id, invitation.role)
        if not invitation.is_open:
            raise InvitationEnded
        invitations.use(conn, invitation.id)
        if invitation.role == "owner":
            store.check_quota(conn, player_id, current_settings().max_organizations_per_account)
            closing.keep_open(conn, invitation.org_id)
        org_id, new = invitation.org_id, {"role": invitation.role, "invitation_id": invitation.id}
        if old_role is None:
            members.add_member(conn, org_id, player_id, invitation.role)
            record(conn, "member.added", org_id=org_id, object_id=player_id, new=new)
        else:
            members.set_role(conn, org_id, player_id, invitation.role)
            record(conn, "member.changed", org_id=org_id, object_id=player_id, old={"role": old_role}, new=new)
    return AcceptedResponse.model_validate(invitation).model_dump(mode="json")


@api.post("/invitations/<token>/decline", responses={204: None, 404: None, 410: None})
@requires_login
def decline_invitation(path: TokenPath) -> tuple[str, int]:
    """Decline an invitation

    Ends an invitation by username. A link remains valid for other players. 404 for an invitation of another player.
    """
    player_id = current_player_id()
    with db.transaction() as conn:
        invitation = invitations.lock(conn, path.token, player_id)
        if not invitation.is_open:
            raise InvitationEnded
        if invitation.player_id is not None:
            invitations.end(conn, invitation.org_id, invitation.id)
            fields = audit_fields(invitation)
            record(conn, "invitation.declined", org_id=invitation.org_id, object_id=invitation.id, old=fields)
    return "", 204
