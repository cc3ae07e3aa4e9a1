"""Players, their credentials and their refresh families in PostgreSQL.

A refresh family is a login and all tokens refreshed from it. Its row is asked for on every request, by primary key.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from shared.accounts.generated_names import guest_name
from shared.infra.constraint_errors import translate_constraint_errors
from shared.infra.db import Conn


@dataclass(frozen=True)
class Credentials:
    """What a login is checked against."""

    player_id: UUID
    username: str
    password_hash: str


@dataclass(frozen=True)
class Account:
    """A player as what is changed about them is judged by. Without a password they are a guest."""

    username: str
    password_hash: str | None

    @property
    def is_guest(self) -> bool:
        return self.password_hash is None


@dataclass(frozen=True)
class RotatedSession:
    """A family after one of its refresh tokens was used: the generation of the next."""

    generation: int
    username: str


@dataclass(frozen=True)
class Session:
    """A login that stands."""

    id: UUID
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class Profile:
    """An account as its own player sees it."""

    id: UUID
    username: str
    email: str | None
    timezone: str
    guest: bool
    created_at: datetime


RevocationReason = Literal["logout", "reuse", "password", "erased", "operator"]
"""Why a login ended."""


@translate_constraint_errors()
def add_player(conn: Conn, player_id: UUID, username: str, password_hash: str, email: str | None) -> None:
    """Raises UsernameTaken, whatever the case of the letters."""
    conn.execute(
        """
        WITH player AS (INSERT INTO players (id, username) VALUES (%s, %s) RETURNING id)
        INSERT INTO credentials (player_id, password_hash, email) SELECT id, %s, %s FROM player
        """,
        (player_id, username, password_hash, email),
    )


def add_guest(conn: Conn, player_id: UUID) -> str:
    """A player without a password. Returns the name that was made up for them."""
    while True:
        username = guest_name()
        added = conn.execute(
            "INSERT INTO players (id, username) VALUES (%s, %s) ON CONFLICT (lower(username)) DO NOTHING",
            (player_id, username),
        )
        if added.rowcount:
            return username


def lock_account(conn: Conn, player_id: UUID) -> Account | None:
    """A player who was not erased, and stays as they are until the transaction ends.

    The lock comes before the look, in a statement of its own: one that both waits and reads would show the password as
    it was before the wait.
    """
    conn.execute("SELECT FROM players WHERE id = %s FOR NO KEY UPDATE", (player_id,))
    return get_account(conn, player_id)


def get_account(conn: Conn, player_id: UUID) -> Account | None:
    with conn.cursor(row_factory=class_row(Account)) as cursor:
        return cursor.execute(
            """
            SELECT p.username, c.password_hash FROM players p LEFT JOIN credentials c ON c.player_id = p.id
            WHERE p.id = %s AND p.erased_at IS NULL
            """,
            (player_id,),
        ).fetchone()


@translate_constraint_errors()
def upgrade(conn: Conn, player_id: UUID, username: str, password_hash: str, email: str | None) -> None:
    """Give a guest a name and a password of their own. The caller holds the lock of `lock_account`. Raises
    UsernameTaken."""
    conn.execute(
        """
        WITH player AS (UPDATE players SET username = %s WHERE id = %s RETURNING id)
        INSERT INTO credentials (player_id, password_hash, email) SELECT id, %s, %s FROM player
        """,
        (username, player_id, password_hash, email),
    )


@translate_constraint_errors()
def rename(conn: Conn, player_id: UUID, username: str) -> None:
    """Raises UsernameTaken, whatever the case of the letters."""
    conn.execute("UPDATE players SET username = %s WHERE id = %s", (username, player_id))


def set_email(conn: Conn, player_id: UUID, email: str | None) -> None:
    conn.execute("UPDATE credentials SET email = %s, updated_at = now() WHERE player_id = %s", (email, player_id))


def get_profile(conn: Conn, player_id: UUID) -> Profile | None:
    with conn.cursor(row_factory=class_row(Profile)) as cursor:
        return cursor.execute(
            """
            SELECT p.id, p.username, c.email, p.timezone, c.player_id IS NULL AS guest, p.created_at
            FROM players p LEFT JOIN credentials c ON c.player_id = p.id WHERE p.id = %s AND p.erased_at IS NULL
            """,
            (player_id,),
        ).fetchone()


def set_timezone(conn: Conn, player_id: UUID, timezone: str) -> None:
    conn.execute("UPDATE players SET timezone = %s WHERE id = %s AND erased_at IS NULL", (timezone, player_id))


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


def id_of(conn: Conn, username: str) -> UUID | None:
    """Who has this name, whatever the case of its letters."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: UUID | None = cursor.execute(
            "SELECT id FROM players WHERE lower(username) = lower(%s) AND erased_at IS NULL", (username,)
        ).fetchone()
    return found


def replace_password_hash(conn: Conn, player_id: UUID, *, old: str, new: str) -> bool:
    """Store another hash, unless the password was changed meanwhile; whether it is stored."""
    changed = conn.execute(
        """
        UPDATE credentials SET password_hash = %s, updated_at = now() WHERE player_id = %s AND password_hash = %s
        """,
        (new, player_id, old),
    )
    return changed.rowcount == 1


def set_password_hash(conn: Conn, player_id: UUID, password_hash: str) -> bool:
    """Store another hash, whatever stands there by then: whoever changes the password at this moment is overruled.
    False for a guest, who has none."""
    changed = conn.execute(
        "UPDATE credentials SET password_hash = %s, updated_at = now() WHERE player_id = %s",
        (password_hash, player_id),
    )
    return changed.rowcount == 1


def create_session(conn: Conn, family_id: UUID, player_id: UUID, *, lasts: timedelta) -> None:
    """A new login. Its first refresh token is of generation 0."""
    conn.execute(
        "INSERT INTO sessions (id, player_id, expires_at) VALUES (%s, %s, now() + %s)",
        (family_id, player_id, lasts),
    )


def create_session_if_password(
    conn: Conn, family_id: UUID, player_id: UUID, password_hash: str, *, lasts: timedelta
) -> bool:
    """A new login, if the password is still the one that was checked: the row's lock lets a change of it either wait
    and end this login, too, or come first."""
    begun = conn.execute(
        """
        INSERT INTO sessions (id, player_id, expires_at)
        SELECT %s, player_id, now() + %s FROM credentials WHERE player_id = %s AND password_hash = %s FOR SHARE
        """,
        (family_id, lasts, player_id, password_hash),
    )
    return begun.rowcount == 1


def is_session_active(conn: Conn, session_id: UUID, player_id: UUID) -> bool:
    """Return whether the session of this player exists, and is neither revoked nor expired."""
    row = conn.execute(
        """
        SELECT FROM sessions
        WHERE id = %(session_id)s AND player_id = %(player_id)s AND revoked_at IS NULL AND expires_at > now()
        """,
        {"session_id": session_id, "player_id": player_id},
    ).fetchone()
    return row is not None


def rotate_refresh_token(
    conn: Conn, family_id: UUID, player_id: UUID, generation: int, *, lasts: timedelta
) -> RotatedSession | None:
    """Use up the refresh token of this generation; None if it was used before, or the login has ended.

    Of requests that race with one token the first takes the row's lock; the others wait and then find it used.
    """
    with conn.cursor(row_factory=class_row(RotatedSession)) as cursor:
        return cursor.execute(
            """
            UPDATE sessions f
            SET generation = f.generation + 1, expires_at = greatest(f.expires_at, now() + %s)
            FROM players p
            WHERE f.id = %s AND f.player_id = %s AND f.generation = %s AND f.revoked_at IS NULL
              AND f.expires_at > now() AND p.id = f.player_id
            RETURNING f.generation, p.username
            """,
            (lasts, family_id, player_id, generation),
        ).fetchone()


def list_sessions(conn: Conn, player_id: UUID) -> list[Session]:
    """A player's logins that stand, oldest first."""
    with conn.cursor(row_factory=class_row(Session)) as cursor:
        return cursor.execute(
            """
            SELECT id, created_at, expires_at FROM sessions
            WHERE player_id = %s AND revoked_at IS NULL AND expires_at > now() ORDER BY created_at
            """,
            (player_id,),
        ).fetchall()


def session_owner(conn: Conn, family_id: UUID) -> UUID | None:
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: UUID | None = cursor.execute("SELECT player_id FROM sessions WHERE id = %s", (family_id,)).fetchone()
    return found


def rotate_for_upgrade(conn: Conn, family_id: UUID, *, lasts: timedelta) -> int | None:
    """The generation of a login's next refresh token; those before it are used up. None where it has ended.

    It never ends sooner for it: the token of an outside service that it began with may last longer, and would be a new
    login once this one is forgotten.
    """
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: int | None = cursor.execute(
            """
            UPDATE sessions SET generation = generation + 1, expires_at = greatest(expires_at, now() + %s)
            WHERE id = %s AND revoked_at IS NULL AND expires_at > now()
            RETURNING generation
            """,
            (lasts, family_id),
        ).fetchone()
    return found


def revoke_sessions(conn: Conn, player_id: UUID, reason: RevocationReason, *, but: UUID | None = None) -> int:
    """End every login of a player, but this one. Returns how many there were."""
    return conn.execute(
        """
        UPDATE sessions SET revoked_at = now(), revoked_reason = %s
        WHERE player_id = %s AND revoked_at IS NULL AND expires_at > now() AND id IS DISTINCT FROM %s
        """,
        (reason, player_id, but),
    ).rowcount


def revoke_session(conn: Conn, family_id: UUID, reason: RevocationReason) -> bool:
    """End a login: from the commit on none of its tokens is good. The first reason stays; whether this is it."""
    revoked = conn.execute(
        """
        UPDATE sessions SET revoked_at = now(), revoked_reason = %s WHERE id = %s AND revoked_at IS NULL
        """,
        (reason, family_id),
    )
    return revoked.rowcount == 1


def purge_sessions(conn: Conn, *, limit: int) -> int:
    """Delete up to `limit` logins past their expiry, revoked or not: no token of theirs is valid. Returns how many."""
    return conn.execute(
        """
        DELETE FROM sessions WHERE id IN (
            SELECT id FROM sessions WHERE expires_at < now() LIMIT %s FOR UPDATE SKIP LOCKED)
        """,
        (limit,),
    ).rowcount
