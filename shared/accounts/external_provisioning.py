"""Players whom an outside service names: made when they are first seen, and logged in with each token of theirs.

Such a token is a refresh family like any other, so that whatever ends a login of ours ends theirs.
"""

import secrets
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from psycopg.rows import scalar_row

from shared.accounts.external_tokens import ExternalIdentity
from shared.accounts.store import session_owner
from shared.audit import store as audit
from shared.audit.store import Actor
from shared.infra.db import Conn
from shared.infra.ids import uuid7


@dataclass(frozen=True)
class RequestOrigin:
    """Where a request came from, as the audit trail tells it."""

    address: str | None = None
    request_id: str | None = None


NO_ORIGIN = RequestOrigin()


def get_or_create_player(
    conn: Conn, theirs: ExternalIdentity, *, may_name_ours: bool, origin: RequestOrigin = NO_ORIGIN
) -> UUID:
    """The player whom the token names, with the token's login, in the caller's transaction. Requests that race for a
    new one wait for the first. `may_name_ours`: where the name is the id of a player of ours, it is them.

    A token that was seen before has its login already, which may have ended; it makes nobody, lest that of a person who
    was erased brings back what they were called.
    """
    known = session_owner(conn, theirs.session_id)
    if known is not None:
        return known
    lock_identity(conn, theirs)
    player_id = find_player(conn, theirs) or create_player(conn, theirs, may_name_ours=may_name_ours, origin=origin)
    conn.execute(
        """
        INSERT INTO sessions (id, player_id, expires_at) VALUES (%s, %s, to_timestamp(%s))
        ON CONFLICT (id) DO NOTHING
        """,
        (theirs.session_id, player_id, theirs.expires_at),
    )
    return player_id


def lock_identity(conn: Conn, theirs: ExternalIdentity) -> None:
    """Hold whoever else arrives under this name back until the transaction ends."""
    number = int.from_bytes(sha256(theirs.id.bytes).digest()[:8], "big", signed=True)
    conn.execute("SELECT pg_advisory_xact_lock(%s)", (number,))


def find_player(conn: Conn, theirs: ExternalIdentity) -> UUID | None:
    """Who came under this name before, and was not erased. An erasure that runs is waited for, and one that comes later
    finds the login that is about to be made."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: UUID | None = cursor.execute(
            """
            SELECT p.id FROM external_identities o JOIN players p ON p.id = o.player_id
            WHERE o.issuer = %s AND o.subject = %s AND p.erased_at IS NULL FOR SHARE OF p
            """,
            (theirs.issuer, theirs.subject),
        ).fetchone()
    return found


def create_player(
    conn: Conn, theirs: ExternalIdentity, *, may_name_ours: bool, origin: RequestOrigin = NO_ORIGIN
) -> UUID:
    """A player for a new name. One that is a UUID keeps it as their id, as clients of the older services know them by
    it, unless a player of ours has it already."""
    asked = _as_id(theirs.subject)
    player_id = None
    if asked is not None and may_name_ours:
        ours = conn.execute("SELECT FROM players WHERE id = %s AND erased_at IS NULL FOR SHARE", (asked,)).fetchone()
        player_id = asked if ours is not None else None
    if player_id is None:
        player_id = _insert_player(conn, asked)
        actor = Actor("player", player_id, origin.address, origin.request_id)
        audit.record(conn, actor, "account.created", org_id=None, object_id=player_id, new={"issuer": theirs.issuer})
    conn.execute(
        "INSERT INTO external_identities (issuer, subject, player_id) VALUES (%s, %s, %s)",
        (theirs.issuer, theirs.subject, player_id),
    )
    return player_id


def _insert_player(conn: Conn, asked: UUID | None) -> UUID:
    """A new player, with the id that is asked for if nobody has it."""
    player_id = asked or uuid7()
    while not _add(conn, player_id):
        player_id = uuid7()
    return player_id


def _add(conn: Conn, player_id: UUID) -> bool:
    """A player with a made-up name; False if the id or, hardly ever, the name is taken."""
    added = conn.execute(
        "INSERT INTO players (id, username) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (player_id, f"player-{secrets.token_hex(8)}"),
    )
    return bool(added.rowcount)


def _as_id(subject: str) -> UUID | None:
    try:
        found = UUID(subject)
    except ValueError:
        return None
    return found if str(found) == subject.lower() else None
