"""Members of organizations in PostgreSQL: roles, the last owner."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from shared.errors import LastOwner
from shared.infra import db
from shared.infra.constraint_errors import translate_constraint_errors
from shared.infra.db import Conn
from shared.infra.ids import LOWEST
from shared.organizations import store
from shared.organizations.rules import Role, has_owner_after


@dataclass(frozen=True)
class Member:
    """A player with a role in an organization."""

    player_id: UUID
    username: str
    role: Role
    created_at: datetime


def get_role(conn: Conn, org_id: UUID, player_id: UUID) -> Role | None:
    """Return the player's role. None if the player is not a member, or there is no such organization."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        role: Role | None = cursor.execute(
            "SELECT role FROM memberships WHERE org_id = %(org_id)s AND player_id = %(player_id)s",
            {"org_id": org_id, "player_id": player_id},
        ).fetchone()
    return role


def get_session_and_role(
    conn: Conn, org_id: UUID | None, player_id: UUID, session_id: UUID
) -> tuple[bool, Role | None]:
    """Return whether the session is active, and the player's role in the organization: None if not a member.

    Both are read in one round trip, because every request of a member needs both.
    """
    return db.exactly_one(
        conn.execute(
            """
            SELECT EXISTS (
                       SELECT FROM sessions
                       WHERE id = %(session_id)s AND player_id = %(player_id)s AND revoked_at IS NULL
                         AND expires_at > now()
                   ),
                   (SELECT role FROM memberships WHERE org_id = %(org_id)s AND player_id = %(player_id)s)
            """,
            {"org_id": org_id, "player_id": player_id, "session_id": session_id},
        )
    )


# `ANY` of one organization keeps it in the order: sorted by the player alone, a plan may walk through the members of
# every organization.
SELECT_MEMBERS = """
    SELECT m.player_id, p.username, m.role, m.created_at
    FROM memberships m JOIN players p ON p.id = m.player_id
    WHERE m.org_id = ANY (ARRAY[%(org_id)s::uuid]) AND m.player_id > %(after)s
    ORDER BY m.org_id, m.player_id LIMIT %(limit)s
"""


def list_members(conn: Conn, org_id: UUID, *, limit: int, after: UUID | None = None) -> list[Member]:
    """Return members in the order in which they registered, after the player `after`."""
    with conn.cursor(row_factory=class_row(Member)) as cursor:
        return cursor.execute(SELECT_MEMBERS, {"org_id": org_id, "after": after or LOWEST, "limit": limit}).fetchall()


def find_member(conn: Conn, org_id: UUID, player_id: UUID) -> Member | None:
    with conn.cursor(row_factory=class_row(Member)) as cursor:
        return cursor.execute(
            """
            SELECT m.player_id, p.username, m.role, m.created_at
            FROM memberships m JOIN players p ON p.id = m.player_id
            WHERE m.org_id = %(org_id)s AND m.player_id = %(player_id)s
            """,
            {"org_id": org_id, "player_id": player_id},
        ).fetchone()


@translate_constraint_errors()
def add_member(conn: Conn, org_id: UUID, username: str, role: Role) -> UUID | None:
    """Add the player with this username, in any letter case. None if no player has it. Raise AlreadyMember."""
    # FOR SHARE: the statement waits for an erasure of the player, or goes first. An erased owner would otherwise count
    # as one, and the last real owner could leave.
    with conn.cursor(row_factory=scalar_row) as cursor:
        player_id: UUID | None = cursor.execute(
            """
            INSERT INTO memberships (org_id, player_id, role)
            SELECT %(org_id)s, id, %(role)s FROM players
            WHERE lower(username) = lower(%(username)s) AND erased_at IS NULL FOR SHARE
            RETURNING player_id
            """,
            {"org_id": org_id, "role": role, "username": username},
        ).fetchone()
    return player_id


def lock_owners(conn: Conn, org_id: UUID) -> set[UUID]:
    """Lock the organization, and return its owners. Every change of a member calls this first."""
    # The read is a statement of its own: a statement that waits for the lock and reads shows the owners before the
    # wait.
    store.lock(conn, org_id)
    with conn.cursor(row_factory=scalar_row) as cursor:
        owners: list[UUID] = cursor.execute(
            "SELECT player_id FROM memberships WHERE org_id = %(org_id)s AND role = 'owner'", {"org_id": org_id}
        ).fetchall()
    return set(owners)


def set_role(conn: Conn, org_id: UUID, player_id: UUID, role: Role) -> bool:
    """Change a member's role. Return False if the player is not a member."""
    changed = conn.execute(
        "UPDATE memberships SET role = %(role)s WHERE org_id = %(org_id)s AND player_id = %(player_id)s",
        {"org_id": org_id, "player_id": player_id, "role": role},
    )
    return changed.rowcount == 1


def remove_member(conn: Conn, org_id: UUID, player_id: UUID) -> bool:
    """Remove a member. Return False if the player is not a member."""
    deleted = conn.execute(
        "DELETE FROM memberships WHERE org_id = %(org_id)s AND player_id = %(player_id)s",
        {"org_id": org_id, "player_id": player_id},
    )
    return deleted.rowcount == 1


def erase_player(conn: Conn, player_id: UUID) -> list[UUID]:
    """Remove the player from all organizations, and return their ids.

    Raise LastOwner if an organization would be left without an owner.
    """
    with conn.cursor(row_factory=scalar_row) as cursor:
        org_ids: list[UUID] = cursor.execute(
            "SELECT org_id FROM memberships WHERE player_id = %(player_id)s ORDER BY org_id", {"player_id": player_id}
        ).fetchall()
    # One organization after the other, by id: two erasures cannot wait for each other.
    for org_id in org_ids:
        owners = lock_owners(conn, org_id)
        if player_id in owners and not has_owner_after(owners, player_id, None):
            raise LastOwner(f"You are the last owner of organization {org_id}. Make another member an owner first.")
        remove_member(conn, org_id, player_id)
    return org_ids
