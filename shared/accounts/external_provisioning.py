"""Players of an external issuer: created at their first token, with a session for each token.

Such a session is like any other: whatever revokes sessions revokes it too.
"""

import secrets
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from psycopg.rows import scalar_row

from shared.accounts.external_tokens import ExternalIdentity
from shared.accounts.sessions import session_owner
from shared.audit import store as audit
from shared.audit.store import Actor
from shared.infra.db import Conn
from shared.infra.ids import uuid7


@dataclass(frozen=True)
class RequestOrigin:
    """The origin of a request, for the audit log."""

    address: str | None = None
    request_id: str | None = None


NO_ORIGIN = RequestOrigin()


def get_or_create_player(
    conn: Conn, identity: ExternalIdentity, *, link_existing: bool, origin: RequestOrigin = NO_ORIGIN
) -> UUID:
    """Return the player of the token, and store its session, in the caller's transaction.

    Concurrent requests of one new identity wait for the first. With `link_existing`, a subject that is the id of an
    existing player is linked to that player. A token that was seen before never creates a player, so an erased account
    is not recreated.
    """
    owner = session_owner(conn, identity.session_id)
    if owner is not None:
        return owner
    lock_identity(conn, identity)
    player_id = find_player(conn, identity) or create_player(conn, identity, link_existing=link_existing, origin=origin)
    conn.execute(
        """
        INSERT INTO sessions (id, player_id, expires_at) VALUES (%(id)s, %(player_id)s, to_timestamp(%(expires_at)s))
        ON CONFLICT (id) DO NOTHING
        """,
        {"id": identity.session_id, "player_id": player_id, "expires_at": identity.expires_at},
    )
    return player_id


def lock_identity(conn: Conn, identity: ExternalIdentity) -> None:
    """Lock the identity until the transaction ends, whether or not it is stored."""
    number = int.from_bytes(sha256(identity.id.bytes).digest()[:8], "big", signed=True)
    conn.execute("SELECT pg_advisory_xact_lock(%(number)s)", {"number": number})


def find_player(conn: Conn, identity: ExternalIdentity) -> UUID | None:
    """Return the player of an identity that was seen before. None if it is new or its player is erased."""
    # FOR SHARE waits for a running erasure. A later one finds the session that the caller is about to store.
    with conn.cursor(row_factory=scalar_row) as cursor:
        player_id: UUID | None = cursor.execute(
            """
            SELECT p.id FROM external_identities i JOIN players p ON p.id = i.player_id
            WHERE i.issuer = %(issuer)s AND i.subject = %(subject)s AND p.erased_at IS NULL FOR SHARE OF p
            """,
            {"issuer": identity.issuer, "subject": identity.subject},
        ).fetchone()
    return player_id


def create_player(
    conn: Conn, identity: ExternalIdentity, *, link_existing: bool, origin: RequestOrigin = NO_ORIGIN
) -> UUID:
    """Store a new identity with its player, and return the player's id.

    A subject that is a UUID becomes the player's id, because clients of earlier services know the player by it. If an
    existing player has that id, the identity is linked to that player or, without `link_existing`, gets a new id.
    """
    subject_id = _as_id(identity.subject)
    player_id = subject_id if subject_id and link_existing and _lock_player(conn, subject_id) else None
    if player_id is None:
        player_id = _insert_player(conn, subject_id)
        actor = Actor("player", player_id, origin.address, origin.request_id)
        audit.record(conn, actor, "account.created", org_id=None, object_id=player_id, new={"issuer": identity.issuer})
    conn.execute(
        """
        INSERT INTO external_identities (issuer, subject, player_id)
        VALUES (%(issuer)s, %(subject)s, %(player_id)s)
        """,
        {"issuer": identity.issuer, "subject": identity.subject, "player_id": player_id},
    )
    return player_id


def _lock_player(conn: Conn, player_id: UUID) -> bool:
    """Lock the player against an erasure. Return False if the player is erased or does not exist."""
    row = conn.execute(
        "SELECT FROM players WHERE id = %(id)s AND erased_at IS NULL FOR SHARE", {"id": player_id}
    ).fetchone()
    return row is not None


def _insert_player(conn: Conn, preferred_id: UUID | None) -> UUID:
    """Insert a player with the preferred id, or with a new id if that one is taken. Return the id."""
    player_id = preferred_id or uuid7()
    while not _add(conn, player_id):
        player_id = uuid7()
    return player_id


def _add(conn: Conn, player_id: UUID) -> bool:
    """Insert a player with a generated username. Return False if the id or, almost never, the username is taken."""
    added = conn.execute(
        "INSERT INTO players (id, username) VALUES (%(id)s, %(username)s) ON CONFLICT DO NOTHING",
        {"id": player_id, "username": f"player-{secrets.token_hex(8)}"},
    )
    return bool(added.rowcount)


def _as_id(subject: str) -> UUID | None:
    try:
        value = UUID(subject)
    except ValueError:
        return None
    return value if str(value) == subject.lower() else None
