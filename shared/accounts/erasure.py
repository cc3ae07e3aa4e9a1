"""Erasure of a player's personal data. Each store knows its own tables; this module calls them.

The player's row remains as a tombstone, so counts, ledgers, quests and their events stay valid. Most is erased in the
transaction of the request. A worker erases the rest: scans beyond 10,000, scans that a worker is judging, and rows of
requests that were still running. `pending_erasures` lists the players to look at again (docs/decisions/0022).
"""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from psycopg.rows import scalar_row

from shared.accounts import sessions, store
from shared.accounts.leaving import Choice, leave_organizations
from shared.audit import store as audit
from shared.audit.store import Actor
from shared.generated_codes import store as generated_codes
from shared.infra import event_log, idempotency
from shared.infra.db import Conn
from shared.organizations import invitations
from shared.redemptions import store as redemptions
from shared.renders import erasure as renders
from shared.scans import store as scans

SCANS_PER_REQUEST = 10_000
"""Scans erased in the request's own transaction, which takes about a second."""
MAX_REQUEST_AGE = timedelta(minutes=10)
"""Any request that began before an erasure has ended after this time."""


def erase(conn: Conn, player_id: UUID, choices: Mapping[UUID, Choice], *, actor: Actor | None = None) -> None:
    """Erase a player. The caller holds the lock of `lock_account`, and commits. Without an actor, it is the player.

    `choices` says what becomes of the organizations of which the player is the last owner. Raise LastOwner without one,
    and Invalid for a wrong one.
    """
    # Locks the player, then organizations by id, then scans, skipping locked ones: settling locks scans before the
    # player, so waiting for a scan here would be a deadlock.
    actor = actor or Actor("player", player_id)
    leave_organizations(conn, player_id, choices, actor)
    account = store.get_account(conn, player_id)
    if account is not None:
        idempotency.release_registration(conn, account.username)
    store.erase_player(conn, player_id)
    sessions.revoke_sessions(conn, player_id, "erased")
    erase_traces(conn, player_id)
    scans.erase_player(conn, player_id, None, limit=SCANS_PER_REQUEST)
    conn.execute("INSERT INTO pending_erasures (player_id) VALUES (%(player_id)s)", {"player_id": player_id})
    audit.record(conn, actor, "account.erased", org_id=None, object_id=player_id)


def erase_traces(conn: Conn, player_id: UUID) -> None:
    """Erase what other tables than scans hold. Repeating it changes no row that is already erased."""
    store.erase_location(conn, player_id)
    generated_codes.erase_player(conn, player_id)
    renders.erase_player(conn, player_id)
    redemptions.erase_player(conn, player_id)
    invitations.erase_player(conn, player_id)
    idempotency.erase_player(conn, player_id)
    audit.erase_player(conn, player_id)
    event_log.erase_player(conn, player_id)


def list_pending(conn: Conn) -> list[UUID]:
    """Return the players whose erasure is not finished, oldest first."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute("SELECT player_id FROM pending_erasures ORDER BY started_at").fetchall()


def finish_if_done(conn: Conn, player_id: UUID) -> bool:
    """Delete the pending erasure if no personal data is left and no earlier request can still be running.

    Return whether it was deleted.
    """
    if scans.has_personal_data(conn, player_id):
        return False
    finished = conn.execute(
        "DELETE FROM pending_erasures WHERE player_id = %(player_id)s AND started_at < now() - %(max_age)s",
        {"player_id": player_id, "max_age": MAX_REQUEST_AGE},
    )
    return finished.rowcount == 1
