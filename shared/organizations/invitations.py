"""Invitations in PostgreSQL: by a link, or of one player. A role is given only when the player accepts.

The token of a link is 256 random bits in URL-safe base64. Only its SHA-256 is stored. An invitation of one player is
named by its id, which is not a secret: no other player can use it.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from psycopg.rows import class_row

from shared.errors import NotFound, Unauthenticated
from shared.infra.constraint_errors import translate_constraint_errors
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import HIGHEST, uuid7
from shared.organizations import store
from shared.organizations.rules import Role


@dataclass(frozen=True)
class Invitation:
    """An offer of a role. `player_id` and `username` are None for a link. It is open while it can be accepted."""

    id: UUID
    org_id: UUID
    organization: str
    role: Role
    player_id: UUID | None
    username: str | None
    uses: int
    uses_left: int
    created_by: UUID | None
    invited_by: str | None
    created_at: datetime
    expires_at: datetime
    is_open: bool


SELECT_INVITATION = """
    SELECT i.id, i.org_id, o.name AS organization, i.role, i.player_id, p.username, i.uses, i.uses_left, i.created_by,
           creators.username AS invited_by, i.created_at, i.expires_at,
           i.uses_left > 0 AND i.expires_at > statement_timestamp()
               AND coalesce(o.closed_at > statement_timestamp(), true) AS is_open
    FROM invitations i
    JOIN organizations o ON o.id = i.org_id
    LEFT JOIN players p ON p.id = i.player_id
    LEFT JOIN players creators ON creators.id = i.created_by
"""
# `ANY` of one organization or player keeps it in the order: sorted by the id alone, a plan may walk the primary key
# through the invitations of every organization.
SELECT_PAGE = (
    SELECT_INVITATION
    + """
    WHERE i.org_id = ANY (ARRAY[%(org_id)s::uuid]) AND i.uses_left > 0 AND i.expires_at > now() AND i.id < %(before)s
    ORDER BY i.org_id DESC, i.id DESC LIMIT %(limit)s
"""
)
SELECT_PAGE_OF_PLAYER = (
    SELECT_INVITATION
    + """
    WHERE i.player_id = ANY (ARRAY[%(player_id)s::uuid]) AND i.uses_left > 0 AND i.expires_at > now()
      AND i.id < %(before)s AND coalesce(o.closed_at > now(), true)
    ORDER BY i.player_id DESC, i.id DESC LIMIT %(limit)s
"""
)


def new_token() -> str:
    """Return the secret of a new link."""
    return secrets.token_urlsafe(32)


def token_digest(token: str) -> bytes:
    """Return the digest that is stored for the token of a link."""
    # A slow hash would add nothing: 2^256 tokens cannot be tried.
    return sha256(token.encode("utf-8", "replace")).digest()


@translate_constraint_errors()
def add(
    conn: Conn,
    org_id: UUID,
    role: Role,
    *,
    player_id: UUID | None = None,
    token: str | None = None,
    uses: int = 1,
    expires_at: datetime,
    created_by: UUID | None,
) -> Invitation:
    """Store an invitation of one player, or a link with this token. Raise AlreadyInvited.

    The caller holds the lock of the organization. The player is a member, or the caller took the lock of `lock_player`
    before: the player cannot be erased meanwhile.
    """
    invitation_id = uuid7()
    # An expired invitation no longer prevents the next one.
    conn.execute(
        """
        UPDATE invitations SET uses_left = 0
        WHERE org_id = %(org_id)s AND player_id = %(player_id)s AND uses_left > 0 AND expires_at <= now()
        """,
        {"org_id": org_id, "player_id": player_id},
    )
    conn.execute(
        """
        INSERT INTO invitations (id, org_id, role, player_id, token_digest, uses, uses_left, expires_at, created_by)
        VALUES (%(id)s, %(org_id)s, %(role)s, %(player_id)s, %(digest)s, %(uses)s, %(uses)s, %(expires_at)s,
                %(created_by)s)
        """,
        {
            "id": invitation_id,
            "org_id": org_id,
            "role": role,
            "player_id": player_id,
            "digest": None if token is None else token_digest(token),
            "uses": uses,
            "expires_at": expires_at,
            "created_by": created_by,
        },
    )
    return _get(conn, invitation_id)


def _get(conn: Conn, invitation_id: UUID) -> Invitation:
    with conn.cursor(row_factory=class_row(Invitation)) as cursor:
        return exactly_one(cursor.execute(SELECT_INVITATION + "WHERE i.id = %(id)s", {"id": invitation_id}))


def lock_player(conn: Conn, player_id: UUID) -> bool:
    """Keep the player from being erased until the transaction ends. Return False if the player is erased or unknown.

    Call it before the lock of an organization, because an erasure locks in this order.
    """
    # Not FOR SHARE: an acceptance counts the player's organizations under this lock.
    locked = conn.execute(
        "SELECT FROM players WHERE id = %(id)s AND erased_at IS NULL FOR NO KEY UPDATE", {"id": player_id}
    ).fetchone()
    return locked is not None


def find(conn: Conn, reference: str) -> Invitation | None:
    """Return the invitation with this token, or the invitation of a player with this id. None if there is none."""
    try:
        invitation_id = UUID(reference)
    except ValueError:
        invitation_id = None
    with conn.cursor(row_factory=class_row(Invitation)) as cursor:
        return cursor.execute(
            SELECT_INVITATION
            + "WHERE i.token_digest = %(digest)s OR (i.id = %(id)s::uuid AND i.player_id IS NOT NULL)",
            {"digest": token_digest(reference), "id": invitation_id},
        ).fetchone()


def lock(conn: Conn, reference: str, player_id: UUID) -> Invitation:
    """Lock the player and the organization of an invitation, and return it, also one that is no longer open.

    Raise NotFound if there is none, or it is for another player, and Unauthenticated if the player was erased.
    """
    # The player, then the organization: an erasure locks in this order. The invitation is read again after the locks,
    # because it may have been used, declined or revoked meanwhile.
    if not lock_player(conn, player_id):
        raise Unauthenticated
    invitation = find(conn, reference)
    if invitation is None or invitation.player_id not in (None, player_id):
        raise NotFound
    store.lock(conn, invitation.org_id)
    return _get(conn, invitation.id)


def use(conn: Conn, invitation_id: UUID) -> None:
    """Use an open invitation once. The caller holds the locks of `lock`."""
    conn.execute("UPDATE invitations SET uses_left = uses_left - 1 WHERE id = %(id)s", {"id": invitation_id})


def end(conn: Conn, org_id: UUID, invitation_id: UUID) -> Invitation | None:
    """Revoke or decline an open invitation of the organization. Return None if it has no such open invitation."""
    ended = conn.execute(
        """
        UPDATE invitations SET uses_left = 0
        WHERE org_id = %(org_id)s AND id = %(id)s AND uses_left > 0 AND expires_at > now()
        """,
        {"org_id": org_id, "id": invitation_id},
    )
    return _get(conn, invitation_id) if ended.rowcount else None


def count_open(conn: Conn, org_id: UUID) -> int:
    """Return the number of the organization's open invitations."""
    count: int = exactly_one(
        conn.execute(
            "SELECT count(*) FROM invitations WHERE org_id = %(org_id)s AND uses_left > 0 AND expires_at > now()",
            {"org_id": org_id},
        )
    )[0]
    return count


def list_for_organization(conn: Conn, org_id: UUID, *, limit: int, before: UUID | None = None) -> list[Invitation]:
    """Return the organization's open invitations, newest first, after the invitation `before`."""
    with conn.cursor(row_factory=class_row(Invitation)) as cursor:
        return cursor.execute(SELECT_PAGE, {"org_id": org_id, "before": before or HIGHEST, "limit": limit}).fetchall()


def list_for_player(conn: Conn, player_id: UUID, *, limit: int, before: UUID | None = None) -> list[Invitation]:
    """Return the player's open invitations, newest first, after the invitation `before`."""
    with conn.cursor(row_factory=class_row(Invitation)) as cursor:
        return cursor.execute(
            SELECT_PAGE_OF_PLAYER, {"player_id": player_id, "before": before or HIGHEST, "limit": limit}
        ).fetchall()


def revoke_by_creator(conn: Conn, org_id: UUID, player_id: UUID, allowed: list[Role]) -> None:
    """Revoke the player's invitations to roles that are not allowed. The caller holds the organization's lock."""
    conn.execute(
        """
        UPDATE invitations SET uses_left = 0
        WHERE org_id = %(org_id)s AND created_by = %(player_id)s AND uses_left > 0 AND role <> ALL (%(allowed)s)
        """,
        {"org_id": org_id, "player_id": player_id, "allowed": allowed},
    )


def revoke_for_player(conn: Conn, org_id: UUID, player_id: UUID) -> None:
    """Revoke the invitations of the player. The caller holds the organization's lock."""
    conn.execute(
        "UPDATE invitations SET uses_left = 0 WHERE org_id = %(org_id)s AND player_id = %(player_id)s",
        {"org_id": org_id, "player_id": player_id},
    )


def erase_player(conn: Conn, player_id: UUID) -> None:
    """Delete the invitations of the player."""
    conn.execute("DELETE FROM invitations WHERE player_id = %(player_id)s", {"player_id": player_id})


def purge(conn: Conn, *, limit: int) -> int:
    """Delete up to `limit` invitations that expired more than 30 days ago. Return how many were deleted."""
    deleted = conn.execute(
        """
        DELETE FROM invitations WHERE id = ANY (ARRAY (
            SELECT id FROM invitations WHERE expires_at < now() - interval '30 days' ORDER BY expires_at
            LIMIT %(limit)s FOR UPDATE SKIP LOCKED
        ))
        """,
        {"limit": limit},
    )
    return deleted.rowcount
