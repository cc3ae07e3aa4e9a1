"""Players whom an outside service names: made when they are first seen, and logged in with each token of theirs.

Such a token is a refresh family like any other, so that whatever ends a login of ours ends theirs.
"""

import secrets
from hashlib import sha256
from uuid import UUID

from shared.accounts.outside import Theirs
from shared.db import Conn
from shared.ids import uuid7


def arrive(conn: Conn, theirs: Theirs, *, may_name_ours: bool) -> UUID:
    """The player whom the token names, with the token's login, in the caller's transaction. Requests that race for a
    new one wait for the first. `may_name_ours`: where the name is the id of a player of ours, it is them."""
    wait_turn(conn, theirs)
    row = conn.execute(
        "SELECT player_id FROM outside_players WHERE issuer = %s AND subject = %s", (theirs.issuer, theirs.subject)
    ).fetchone()
    player_id: UUID = row[0] if row else welcome(conn, theirs, may_name_ours=may_name_ours)
    conn.execute(
        """
        INSERT INTO refresh_families (id, player_id, expires_at) VALUES (%s, %s, to_timestamp(%s))
        ON CONFLICT (id) DO NOTHING
        """,
        (theirs.login_id, player_id, theirs.expires_at),
    )
    return player_id


def wait_turn(conn: Conn, theirs: Theirs) -> None:
    """Hold whoever else arrives under this name back until the transaction ends."""
    number = int.from_bytes(sha256(theirs.id.bytes).digest()[:8], "big", signed=True)
    conn.execute("SELECT pg_advisory_xact_lock(%s)", (number,))


def welcome(conn: Conn, theirs: Theirs, *, may_name_ours: bool) -> UUID:
    """A player for a new name. One that is a UUID keeps it as their id, as clients of the older services know them by
    it, unless a player of ours has it already."""
    named = _as_id(theirs.subject)
    player_id = None
    if named is not None:
        ours = conn.execute(
            "SELECT FROM players WHERE id = %s AND erased_at IS NULL FOR KEY SHARE", (named,)
        ).fetchone()
        player_id = named if (ours is not None and may_name_ours) or _add(conn, named) else None
    while player_id is None:
        fresh = uuid7()
        player_id = fresh if _add(conn, fresh) else None
    conn.execute(
        "INSERT INTO outside_players (issuer, subject, player_id) VALUES (%s, %s, %s)",
        (theirs.issuer, theirs.subject, player_id),
    )
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
