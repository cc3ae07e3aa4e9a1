"""Members of organizations in PostgreSQL: roles, the last owner."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from shared.errors import AlreadyMember
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import LOWEST
from shared.organizations import invitations, store
from shared.organizations.rules import ROLES, Role, can_invite, includes_role


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


def find_slug_and_role(conn: Conn, qr_id: UUID, player_id: UUID) -> tuple[str, Role] | None:
    """Return the slug of a code's organization and the player's role there. None if the player is not a member."""
    return conn.execute(
        """
        SELECT o.slug, m.role FROM qr_codes q JOIN organizations o ON o.id = q.org_id
        JOIN memberships m ON m.org_id = q.org_id AND m.player_id = %(player_id)s
        WHERE q.id = %(qr_id)s
        """,
        {"qr_id": qr_id, "player_id": player_id},
    ).fetchone()


def get_session_and_role(
    conn: Conn, org_id: UUID | None, player_id: UUID, session_id: UUID
) -> tuple[bool, bool, Role | None, bool]:
    """Return whether the session is active, whether its use is to be recorded, the player's role in the organization,
    and whether that is closed.

    The role is None if the player is not a member. All are read in one round trip, because every request of a member
    needs them.
    """
    return db.exactly_one(
        conn.execute(
            """
            SELECT s.id IS NOT NULL, coalesce(s.last_used_at < date_trunc('hour', now(), 'UTC'), false),
                   (SELECT role FROM memberships WHERE org_id = %(org_id)s AND player_id = %(player_id)s),
                   EXISTS (SELECT FROM organizations WHERE id = %(org_id)s AND closed_at <= now())
            FROM (SELECT) request
            LEFT JOIN sessions s ON s.id = %(session_id)s AND s.player_id = %(player_id)s AND s.revoked_at IS NULL
                                    AND s.expires_at > now()
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


def require_lower_role(conn: Conn, org_id: UUID, player_id: UUID, role: Role) -> Role | None:
    """Return the player's role, None for a player who is not a member. Raise AlreadyMember if it includes `role`."""
    current = get_role(conn, org_id, player_id)
    if current is not None and includes_role(current, role):
        raise AlreadyMember
    return current


def add_member(conn: Conn, org_id: UUID, player_id: UUID, role: Role) -> None:
    """Add a player who accepted an invitation. The caller holds the locks of `invitations.lock`."""
    conn.execute(
        "INSERT INTO memberships (org_id, player_id, role) VALUES (%(org_id)s, %(player_id)s, %(role)s)",
        {"org_id": org_id, "player_id": player_id, "role": role},
    )


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


def count_owners(conn: Conn, org_id: UUID) -> int:
    """Return how many owners an organization has."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        owners: int = db.exactly_one(
            cursor.execute(
                "SELECT count(*) FROM memberships WHERE org_id = %(org_id)s AND role = 'owner'", {"org_id": org_id}
            )
        )
    return owners


def set_role(conn: Conn, org_id: UUID, player_id: UUID, role: Role) -> bool:
    """Change a member's role. Return False if the player is not a member.

    Revoke the member's invitations to roles that the new role may not give.
    """
    invitations.revoke_by_creator(conn, org_id, player_id, [other for other in ROLES if can_invite(role, other)])
    changed = conn.execute(
        "UPDATE memberships SET role = %(role)s WHERE org_id = %(org_id)s AND player_id = %(player_id)s",
        {"org_id": org_id, "player_id": player_id, "role": role},
    )
    return changed.rowcount == 1


def remove_member(conn: Conn, org_id: UUID, player_id: UUID) -> bool:
    """Remove a member. Return False if the player is not a member.

    Revoke the invitations that the player created, and those for the player: neither leads back.
    """
    invitations.revoke_by_creator(conn, org_id, player_id, [])
    invitations.revoke_for_player(conn, org_id, player_id)
    deleted = conn.execute(
        "DELETE FROM memberships WHERE org_id = %(org_id)s AND player_id = %(player_id)s",
        {"org_id": org_id, "player_id": player_id},
    )
    return deleted.rowcount == 1
