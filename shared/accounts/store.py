"""Players and their credentials in PostgreSQL."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from shared.accounts.generated_names import erased_name, guest_name
from shared.infra.constraint_errors import translate_constraint_errors
from shared.infra.db import Conn


@dataclass(frozen=True)
class Credentials:
    """The stored password hash that a log-in is verified against."""

    player_id: UUID
    username: str
    password_hash: str


@dataclass(frozen=True)
class Account:
    """A player's username and password hash. A guest has no hash."""

    username: str
    password_hash: str | None

    @property
    def is_guest(self) -> bool:
        return self.password_hash is None


@dataclass(frozen=True)
class Profile:
    """An account as its player sees it."""

    id: UUID
    username: str
    email: str | None
    timezone: str
    guest: bool
    created_at: datetime


@translate_constraint_errors()
def add_player(conn: Conn, player_id: UUID, username: str, password_hash: str, email: str | None) -> None:
    """Store a player with credentials. Raise UsernameTaken if another has the username, in any letter case."""
    conn.execute(
        """
        WITH new_players AS (INSERT INTO players (id, username) VALUES (%(id)s, %(username)s) RETURNING id)
        INSERT INTO credentials (player_id, password_hash, email)
        SELECT id, %(password_hash)s, %(email)s FROM new_players
        """,
        {"id": player_id, "username": username, "password_hash": password_hash, "email": email},
    )


def add_guest(conn: Conn, player_id: UUID) -> str:
    """Store a player without a password. Return the generated username."""
    while True:
        username = guest_name()
        added = conn.execute(
            """
            INSERT INTO players (id, username) VALUES (%(id)s, %(username)s)
            ON CONFLICT (lower(username)) DO NOTHING
            """,
            {"id": player_id, "username": username},
        )
        if added.rowcount:
            return username


def lock_account(conn: Conn, player_id: UUID) -> Account | None:
    """Lock the player until the transaction ends, and return the account. None if it is erased or does not exist."""
    # The read is a statement of its own: a statement that waits for the lock and reads shows the row before the wait.
    conn.execute("SELECT FROM players WHERE id = %(id)s FOR NO KEY UPDATE", {"id": player_id})
    return get_account(conn, player_id)


def get_account(conn: Conn, player_id: UUID) -> Account | None:
    """Return the account, or None if it is erased or does not exist."""
    with conn.cursor(row_factory=class_row(Account)) as cursor:
        return cursor.execute(
            """
            SELECT p.username, c.password_hash FROM players p LEFT JOIN credentials c ON c.player_id = p.id
            WHERE p.id = %(id)s AND p.erased_at IS NULL
            """,
            {"id": player_id},
        ).fetchone()


@translate_constraint_errors()
def upgrade(conn: Conn, player_id: UUID, username: str, password_hash: str, email: str | None) -> None:
    """Give a guest a username and a password. The caller holds the lock of `lock_account`. Raise UsernameTaken."""
    conn.execute(
        """
        WITH upgraded_players AS (UPDATE players SET username = %(username)s WHERE id = %(id)s RETURNING id)
        INSERT INTO credentials (player_id, password_hash, email)
        SELECT id, %(password_hash)s, %(email)s FROM upgraded_players
        """,
        {"id": player_id, "username": username, "password_hash": password_hash, "email": email},
    )


@translate_constraint_errors()
def rename(conn: Conn, player_id: UUID, username: str) -> None:
    """Change the username. Raise UsernameTaken if another player has it, in any letter case."""
    conn.execute(
        "UPDATE players SET username = %(username)s WHERE id = %(id)s", {"id": player_id, "username": username}
    )


def set_email(conn: Conn, player_id: UUID, email: str | None) -> None:
    conn.execute(
        "UPDATE credentials SET email = %(email)s, updated_at = now() WHERE player_id = %(id)s",
        {"id": player_id, "email": email},
    )


def get_profile(conn: Conn, player_id: UUID) -> Profile | None:
    """Return the profile, or None if the account is erased or does not exist."""
    with conn.cursor(row_factory=class_row(Profile)) as cursor:
        return cursor.execute(
            """
            SELECT p.id, p.username, c.email, p.timezone, c.player_id IS NULL AS guest, p.created_at
            FROM players p LEFT JOIN credentials c ON c.player_id = p.id
            WHERE p.id = %(id)s AND p.erased_at IS NULL
            """,
            {"id": player_id},
        ).fetchone()


def list_players(conn: Conn, prefix: str, *, limit: int) -> list[Profile]:
    """Return players whose username begins with `prefix`, in any letter case, newest first. Reads the whole table."""
    with conn.cursor(row_factory=class_row(Profile)) as cursor:
        return cursor.execute(
            """
            SELECT p.id, p.username, c.email, p.timezone, c.player_id IS NULL AS guest, p.created_at
            FROM players p LEFT JOIN credentials c ON c.player_id = p.id
            WHERE p.erased_at IS NULL AND starts_with(lower(p.username), lower(%(prefix)s))
            ORDER BY p.id DESC LIMIT %(limit)s
            """,
            {"prefix": prefix, "limit": limit},
        ).fetchall()


def has_account(conn: Conn, player_id: UUID) -> bool:
    """Return whether the player signs in with a password or an external identity. Guests do not."""
    row = conn.execute(
        """
        SELECT FROM players p WHERE p.id = %(id)s AND (
            EXISTS (SELECT FROM credentials c WHERE c.player_id = p.id)
            OR EXISTS (SELECT FROM external_identities e WHERE e.player_id = p.id))
        """,
        {"id": player_id},
    ).fetchone()
    return row is not None


def set_timezone(conn: Conn, player_id: UUID, timezone: str) -> None:
    conn.execute(
        "UPDATE players SET timezone = %(timezone)s WHERE id = %(id)s AND erased_at IS NULL",
        {"id": player_id, "timezone": timezone},
    )


def find_credentials(conn: Conn, username: str) -> Credentials | None:
    """Return the credentials of this username, in any letter case. None for guests and unknown names."""
    with conn.cursor(row_factory=class_row(Credentials)) as cursor:
        return cursor.execute(
            """
            SELECT p.id AS player_id, p.username, c.password_hash
            FROM players p JOIN credentials c ON c.player_id = p.id
            WHERE lower(p.username) = lower(%(username)s)
            """,
            {"username": username},
        ).fetchone()


def find_id(conn: Conn, username: str) -> UUID | None:
    """Return the id of the player with this username, in any letter case."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        player_id: UUID | None = cursor.execute(
            "SELECT id FROM players WHERE lower(username) = lower(%(username)s) AND erased_at IS NULL",
            {"username": username},
        ).fetchone()
    return player_id


def replace_password_hash(conn: Conn, player_id: UUID, *, old: str, new: str) -> bool:
    """Replace the password hash if it is still `old`. Return whether it was."""
    changed = conn.execute(
        """
        UPDATE credentials SET password_hash = %(new)s, updated_at = now()
        WHERE player_id = %(player_id)s AND password_hash = %(old)s
        """,
        {"player_id": player_id, "old": old, "new": new},
    )
    return changed.rowcount == 1


def set_password_hash(conn: Conn, player_id: UUID, password_hash: str) -> bool:
    """Replace the password hash, also one that was changed a moment ago. Return False for a guest."""
    changed = conn.execute(
        "UPDATE credentials SET password_hash = %(hash)s, updated_at = now() WHERE player_id = %(player_id)s",
        {"player_id": player_id, "hash": password_hash},
    )
    return changed.rowcount == 1


def erase_player(conn: Conn, player_id: UUID) -> None:
    """Delete credentials and external identities, and replace the username. The row remains as a tombstone."""
    conn.execute("DELETE FROM credentials WHERE player_id = %(id)s", {"id": player_id})
    conn.execute("DELETE FROM external_identities WHERE player_id = %(id)s", {"id": player_id})
    conn.execute(
        "UPDATE players SET username = %(username)s, erased_at = now() WHERE id = %(id)s",
        {"id": player_id, "username": erased_name()},
    )


def erase_location(conn: Conn, player_id: UUID) -> None:
    """Erase the player's location and time zone. Settling a scan may set the location again after an erasure."""
    conn.execute(
        """
        UPDATE players SET location_code = NULL, timezone = 'UTC'
        WHERE id = %(id)s AND (location_code IS NOT NULL OR timezone <> 'UTC')
        """,
        {"id": player_id},
    )
