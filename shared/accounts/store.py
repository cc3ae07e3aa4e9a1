"""Players, their credentials and their refresh families in PostgreSQL.

A refresh family is a login and all tokens refreshed from it. Its row is asked for on every request, by primary key.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from psycopg.rows import class_row

from shared.constraints import named_refusals
from shared.db import Conn


@dataclass(frozen=True)
class Credentials:
    """What a login is checked against."""

    player_id: UUID
    username: str
    password_hash: str


@dataclass(frozen=True)
class Rotated:
    """A family after one of its refresh tokens was used: the generation of the next."""

    generation: int
    username: str


@dataclass(frozen=True)
class Profile:
    """An account as its own player sees it."""

    id: UUID
    username: str
    email: str | None
    timezone: str
    created_at: datetime


@named_refusals()
def add_player(conn: Conn, player_id: UUID, username: str, password_hash: str, email: str | None) -> None:
    """Raises UsernameTaken, whatever the case of the letters."""
    conn.execute(
        """
        WITH player AS (INSERT INTO players (id, username) VALUES (%s, %s) RETURNING id)
        INSERT INTO credentials (player_id, password_hash, email) SELECT id, %s, %s FROM player
        """,
        (player_id, username, password_hash, email),
    )


def profile(conn: Conn, player_id: UUID) -> Profile | None:
    with conn.cursor(row_factory=class_row(Profile)) as cursor:
        return cursor.execute(
            """
            SELECT p.id, p.username, c.email, p.timezone, p.created_at
            FROM players p LEFT JOIN credentials c ON c.player_id = p.id WHERE p.id = %s
            """,
            (player_id,),
        ).fetchone()


def set_timezone(conn: Conn, player_id: UUID, timezone: str) -> None:
    conn.execute("UPDATE players SET timezone = %s WHERE id = %s", (timezone, player_id))


def find_credentials(conn: Conn, username: str) -> Credentials | None:
    """By name, whatever the case of its letters."""
    with conn.cursor(row_factory=class_row(Credentials)) as cursor:
        return cursor.execute(
            """
            SELECT p.id AS player_id, p.username, c.password_hash
            FROM players p JOIN credentials c ON c.player_id = p.id
            WHERE lower(p.username) = lower(%s)
            """,
            (username,),
        ).fetchone()


def replace_hash(conn: Conn, player_id: UUID, *, old: str, new: str) -> None:
    """Store a hash of the same password with new parameters, unless the password was changed meanwhile."""
    conn.execute(
        """
        UPDATE credentials SET password_hash = %s, updated_at = now() WHERE player_id = %s AND password_hash = %s
        """,
        (new, player_id, old),
    )


def start_family(conn: Conn, family_id: UUID, player_id: UUID, *, lasts: timedelta) -> None:
    """A new login. Its first refresh token is of generation 0."""
    conn.execute(
        "INSERT INTO refresh_families (id, player_id, expires_at) VALUES (%s, %s, now() + %s)",
        (family_id, player_id, lasts),
    )


ALIVE = """
    SELECT FROM refresh_families
    WHERE id = %(family_id)s AND player_id = %(player_id)s AND revoked_at IS NULL AND expires_at > now()
"""


def is_family_alive(conn: Conn, family_id: UUID, player_id: UUID) -> bool:
    """Whether the login still holds: neither revoked nor expired."""
    row = conn.execute(ALIVE, {"family_id": family_id, "player_id": player_id}).fetchone()
    return row is not None


def rotate(conn: Conn, family_id: UUID, player_id: UUID, generation: int, *, lasts: timedelta) -> Rotated | None:
    """Use up the refresh token of this generation; None if it was used before, or the login has ended.

    Of requests that race with one token the first takes the row's lock; the others wait and then find it used.
    """
    with conn.cursor(row_factory=class_row(Rotated)) as cursor:
        return cursor.execute(
            """
            UPDATE refresh_families f SET generation = f.generation + 1, expires_at = now() + %s
            FROM players p
            WHERE f.id = %s AND f.player_id = %s AND f.generation = %s AND f.revoked_at IS NULL
              AND f.expires_at > now() AND p.id = f.player_id
            RETURNING f.generation, p.username
            """,
            (lasts, family_id, player_id, generation),
        ).fetchone()


def revoke_family(conn: Conn, family_id: UUID, reason: Literal["logout", "reuse"]) -> None:
    """End a login: from the commit on none of its tokens is good. The first reason stays."""
    conn.execute(
        """
        UPDATE refresh_families SET revoked_at = now(), revoked_for = %s WHERE id = %s AND revoked_at IS NULL
        """,
        (reason, family_id),
    )


def forget_families(conn: Conn, *, limit: int) -> int:
    """Delete up to `limit` logins past their expiry, revoked or not: no token of theirs is valid. Returns how many."""
    return conn.execute(
        """
        DELETE FROM refresh_families WHERE id IN (
            SELECT id FROM refresh_families WHERE expires_at < now() LIMIT %s FOR UPDATE SKIP LOCKED)
        """,
        (limit,),
    ).rowcount
