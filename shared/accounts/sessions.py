"""Sessions in PostgreSQL. A session is one login, from log-in to log-out, expiry or revocation.

All refresh tokens of a session form its family. Each use of one gives the next generation. Every request reads the
session's row by primary key (docs/decisions/0002).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from shared.infra.db import Conn
from shared.infra.ids import HIGHEST

RevocationReason = Literal["logout", "reuse", "password", "erased", "operator"]

# `ANY` of one player keeps it in the order, as for organizations (docs/decisions/0035).
SELECT_PAGE = """
    SELECT id, device, created_at, last_used_at, expires_at FROM sessions
    WHERE player_id = ANY (ARRAY[%(player_id)s::uuid]) AND revoked_at IS NULL AND expires_at > now()
      AND (created_at, id) < (%(before_time)s, %(before_id)s)
    ORDER BY player_id DESC, created_at DESC, id DESC LIMIT %(limit)s
"""


@dataclass(frozen=True)
class Session:
    """An active session. `last_used_at` is the hour of its last request. `device` is null for an external token."""

    id: UUID
    device: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class RotatedSession:
    """A session after one of its refresh tokens was used. `generation` is that of the next token."""

    generation: int
    username: str


def create_session(conn: Conn, session_id: UUID, player_id: UUID, *, ttl: timedelta, device: str | None = None) -> None:
    """Store a new session. Its first refresh token has generation 0."""
    conn.execute(
        """
        INSERT INTO sessions (id, player_id, device, expires_at)
        VALUES (%(id)s, %(player_id)s, %(device)s, now() + %(ttl)s)
        """,
        {"id": session_id, "player_id": player_id, "device": device, "ttl": ttl},
    )


def create_session_if_password(
    conn: Conn,
    session_id: UUID,
    player_id: UUID,
    password_hash: str,
    *,
    ttl: timedelta,
    device: str | None = None,
) -> bool:
    """Store a new session if the player's password hash is still the one that was verified. Return whether it is."""
    # FOR SHARE: a concurrent password change either waits and revokes this session too, or commits first.
    created = conn.execute(
        """
        INSERT INTO sessions (id, player_id, device, expires_at)
        SELECT %(id)s, player_id, %(device)s, now() + %(ttl)s FROM credentials
        WHERE player_id = %(player_id)s AND password_hash = %(password_hash)s FOR SHARE
        """,
        {
            "id": session_id,
            "player_id": player_id,
            "password_hash": password_hash,
            "device": device,
            "ttl": ttl,
        },
    )
    return created.rowcount == 1


def is_session_active(conn: Conn, session_id: UUID, player_id: UUID) -> bool:
    """Return whether the session of this player exists, and is neither revoked nor expired. Record its use."""
    row = conn.execute(
        """
        SELECT last_used_at < date_trunc('hour', now(), 'UTC') FROM sessions
        WHERE id = %(id)s AND player_id = %(player_id)s AND revoked_at IS NULL AND expires_at > now()
        """,
        {"id": session_id, "player_id": player_id},
    ).fetchone()
    if row is not None and row[0]:
        record_use(conn, session_id)
    return row is not None


def record_use(conn: Conn, session_id: UUID) -> None:
    """Store the current hour as that of the session's last use. Call it once per hour, not for every request."""
    # SKIP LOCKED: requests of the same session do not wait for each other, and one of them records the use.
    conn.execute(
        """
        UPDATE sessions SET last_used_at = date_trunc('hour', now(), 'UTC') WHERE id = (
            SELECT id FROM sessions WHERE id = %(id)s AND last_used_at < date_trunc('hour', now(), 'UTC')
            FOR NO KEY UPDATE SKIP LOCKED)
        """,
        {"id": session_id},
    )


def get_expiry(conn: Conn, session_id: UUID) -> datetime | None:
    """Return when the session expires. None if there is no such session."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        expires_at: datetime | None = cursor.execute(
            "SELECT expires_at FROM sessions WHERE id = %(id)s", {"id": session_id}
        ).fetchone()
    return expires_at


def extend_session(conn: Conn, session_id: UUID, *, ttl: timedelta) -> None:
    """Let an active session expire after `ttl` at the earliest."""
    conn.execute(
        """
        UPDATE sessions SET expires_at = greatest(expires_at, now() + %(ttl)s)
        WHERE id = %(id)s AND revoked_at IS NULL AND expires_at > now()
        """,
        {"id": session_id, "ttl": ttl},
    )


def session_owner(conn: Conn, session_id: UUID) -> UUID | None:
    """Return the player of a session, active or not. None if there is no such session."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        player_id: UUID | None = cursor.execute(
            "SELECT player_id FROM sessions WHERE id = %(id)s", {"id": session_id}
        ).fetchone()
    return player_id


def list_sessions(conn: Conn, player_id: UUID) -> list[Session]:
    """Return the player's active sessions, oldest first."""
    with conn.cursor(row_factory=class_row(Session)) as cursor:
        return cursor.execute(
            """
            SELECT id, device, created_at, last_used_at, expires_at FROM sessions
            WHERE player_id = %(player_id)s AND revoked_at IS NULL AND expires_at > now() ORDER BY created_at
            """,
            {"player_id": player_id},
        ).fetchall()


def list_page(conn: Conn, player_id: UUID, *, limit: int, before: tuple[datetime, UUID] | None = None) -> list[Session]:
    """Return the player's active sessions, newest first, after the session with the time and id `before`."""
    before_time, before_id = before or ("infinity", HIGHEST)
    with conn.cursor(row_factory=class_row(Session)) as cursor:
        return cursor.execute(
            SELECT_PAGE,
            {"player_id": player_id, "before_time": before_time, "before_id": before_id, "limit": limit},
        ).fetchall()


def rotate_refresh_token(
    conn: Conn, session_id: UUID, player_id: UUID, generation: int, *, ttl: timedelta
) -> RotatedSession | None:
    """Exchange the refresh token of this generation for the next, and extend the session.

    Return None if the token was already used or the session has ended. The first of concurrent requests gets the row's
    lock; the others wait, and find the token used.
    """
    # A token of a later generation was issued before the database was restored from a backup.
    with conn.cursor(row_factory=class_row(RotatedSession)) as cursor:
        return cursor.execute(
            """
            UPDATE sessions s
            SET generation = %(generation)s + 1, expires_at = greatest(s.expires_at, now() + %(ttl)s),
                last_used_at = date_trunc('hour', now(), 'UTC')
            FROM players p
            WHERE s.id = %(id)s AND s.player_id = %(player_id)s AND s.generation <= %(generation)s
              AND s.revoked_at IS NULL AND s.expires_at > now() AND p.id = s.player_id
            RETURNING s.generation, p.username
            """,
            {"id": session_id, "player_id": player_id, "generation": generation, "ttl": ttl},
        ).fetchone()


def rotate_for_upgrade(conn: Conn, session_id: UUID, *, ttl: timedelta) -> int | None:
    """Return the generation of the session's next refresh token; earlier tokens are used up. None if it has ended.

    The session never expires earlier than before: it may have begun with an external token that is valid for longer.
    That token would start a new session once this one is purged.
    """
    with conn.cursor(row_factory=scalar_row) as cursor:
        generation: int | None = cursor.execute(
            """
            UPDATE sessions SET generation = generation + 1, expires_at = greatest(expires_at, now() + %(ttl)s)
            WHERE id = %(id)s AND revoked_at IS NULL AND expires_at > now()
            RETURNING generation
            """,
            {"id": session_id, "ttl": ttl},
        ).fetchone()
    return generation


def revoke_session(conn: Conn, session_id: UUID, reason: RevocationReason) -> bool:
    """Revoke a session: from the commit on its tokens are invalid. Return False if it was already revoked."""
    revoked = conn.execute(
        "UPDATE sessions SET revoked_at = now(), revoked_reason = %(reason)s WHERE id = %(id)s AND revoked_at IS NULL",
        {"id": session_id, "reason": reason},
    )
    return revoked.rowcount == 1


def revoke_own_session(conn: Conn, player_id: UUID, session_id: UUID) -> bool:
    """Revoke an active session of the player. Return False if the player has no such session."""
    revoked = conn.execute(
        """
        UPDATE sessions SET revoked_at = now(), revoked_reason = 'logout'
        WHERE id = %(id)s AND player_id = %(player_id)s AND revoked_at IS NULL AND expires_at > now()
        """,
        {"id": session_id, "player_id": player_id},
    )
    return revoked.rowcount == 1


def revoke_sessions(conn: Conn, player_id: UUID, reason: RevocationReason, *, but: UUID | None = None) -> int:
    """Revoke all active sessions of the player except the session `but`. Return how many were revoked."""
    return conn.execute(
        """
        UPDATE sessions SET revoked_at = now(), revoked_reason = %(reason)s
        WHERE player_id = %(player_id)s AND revoked_at IS NULL AND expires_at > now() AND id IS DISTINCT FROM %(but)s
        """,
        {"player_id": player_id, "reason": reason, "but": but},
    ).rowcount


def purge_sessions(conn: Conn, *, limit: int) -> int:
    """Delete up to `limit` expired sessions, revoked or not, and return how many. Their tokens have expired too."""
    return conn.execute(
        """
        DELETE FROM sessions WHERE id = ANY (ARRAY (
            SELECT id FROM sessions WHERE expires_at < now() LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
        """,
        {"limit": limit},
    ).rowcount
