"""A player leaves all organizations, as a part of the erasure. A last owner offers or deletes what they own alone.

A transfer is an offer: no player becomes an owner without accepting. Unless the member accepts within seven days, the
organization closes. So the erasure depends on no other player (docs/decisions/0041).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from psycopg.rows import scalar_row

from shared.audit import store as audit
from shared.audit.store import Actor
from shared.errors import FieldError, Invalid, LastOwner
from shared.infra.db import Conn
from shared.organizations import closing, invitations, members, store
from shared.organizations.rules import INVITATION_LIFETIME, has_owner_after

Choice = UUID | Literal["delete"]
"""What a last owner does with an organization: offer it to this member, or delete it."""


def leave_organizations(conn: Conn, player_id: UUID, choices: Mapping[UUID, Choice], actor: Actor) -> None:
    """Remove the player from all organizations, and apply the choices to those of which they are the last owner.

    Raise LastOwner if a choice is missing, and Invalid for a choice about another organization or of a player who is
    not a member. The caller holds the lock of the player.
    """
    org_ids, last_owner_of = lock_organizations(conn, player_id)
    if undecided := sorted(last_owner_of - choices.keys()):
        names = ", ".join(f"{store.get_name(conn, org_id)} ({org_id})" for org_id in undecided)
        raise LastOwner(
            f"You are the last owner of {names}. For each id, organizations must have the player_id of a member who is "
            'offered the organization, or "delete".'
        )
    if foreign := sorted(choices.keys() - last_owner_of):
        raise Invalid(FieldError(f"body.organizations.{foreign[0]}", "You are not its last owner. Omit it."))
    for org_id in org_ids:
        if org_id in last_owner_of:
            _settle(conn, org_id, player_id, choices[org_id], actor)
        members.remove_member(conn, org_id, player_id)
        audit.record(conn, actor, "member.removed", org_id=org_id, object_id=player_id)


def lock_organizations(conn: Conn, player_id: UUID) -> tuple[list[UUID], set[UUID]]:
    """Lock the player's organizations. Return them by id, and those of which the player is the last owner."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        org_ids: list[UUID] = cursor.execute(
            "SELECT org_id FROM memberships WHERE player_id = %(player_id)s ORDER BY org_id", {"player_id": player_id}
        ).fetchall()
    # One organization after the other, by id: two erasures cannot wait for each other.
    return org_ids, {org_id for org_id in org_ids if _is_last_owner(conn, org_id, player_id)}


def _is_last_owner(conn: Conn, org_id: UUID, player_id: UUID) -> bool:
    """Lock the organization. Return whether it is open, and would be left without an owner."""
    owners = members.lock_owners(conn, org_id)
    return player_id in owners and not has_owner_after(owners, player_id, None) and not store.is_closed(conn, org_id)


def _settle(conn: Conn, org_id: UUID, player_id: UUID, choice: Choice, actor: Actor) -> None:
    if choice == "delete":
        closing.close(conn, org_id)
        audit.record(conn, actor, "organization.closed", org_id=org_id, object_id=org_id)
        return
    # The member cannot be erased before this transaction ends: their erasure locks the organization, too.
    if choice == player_id or members.get_role(conn, org_id, choice) is None:
        raise Invalid(FieldError(f"body.organizations.{org_id}", 'Use "delete" or the player_id of another member.'))
    invitations.revoke_for_player(conn, org_id, choice)
    expires_at = datetime.now(UTC) + INVITATION_LIFETIME
    offer = invitations.add(conn, org_id, "owner", player_id=choice, expires_at=expires_at, created_by=None)
    closing.close(conn, org_id, after=INVITATION_LIFETIME)
    new = {"role": offer.role, "player_id": offer.player_id, "uses": offer.uses}
    audit.record(conn, actor, "invitation.created", org_id=org_id, object_id=offer.id, new=new)
