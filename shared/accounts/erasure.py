"""Erasure: a person is forgotten, and what others rely on stays: counts, ledgers, quests and their events.

The player's row becomes a tombstone that all of it points at. Everything is done in the transaction of the request, but
for what that one cannot have: scans beyond so many, scans that a worker is judging, and what a request of theirs that
is still running brings in. `pending_erasures` remembers whom to look through again; see docs/decisions/0022.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from psycopg.rows import scalar_row

from shared.accounts import store
from shared.accounts.generated_names import erased_name
from shared.audit import store as audit
from shared.audit.store import Actor
from shared.errors import LastOwner
from shared.infra.db import Conn
from shared.infra.idempotency import registration_owner
from shared.infra.ids import LOWEST
from shared.organizations import store as organizations
from shared.organizations.rules import has_owner_after

SCANS_PER_REQUEST = 10_000
"""Scans that are forgotten in the request's own transaction: a second's work."""
BATCH = 5_000
MAX_REQUEST_AGE = "10 minutes"
"""No request that began before an erasure is still running then."""


HAS_PERSONAL_DATA = """(
    s.latitude IS NOT NULL OR s.accuracy IS NOT NULL OR s.distance_m IS NOT NULL OR s.client_time IS NOT NULL
    OR s.nonce IS NOT NULL OR s.request_digest IS NOT NULL OR s.request_id IS NOT NULL
    OR s.compare_coordinates IS NOT NULL OR jsonb_path_exists(s.decision_inputs, '$.*.*')
    OR (s.qr_code_id IS NULL AND s.status <> 'pending' AND s.qr_code <> 'erased'))
"""
"""Whether a scan, named `s`, tells more than what is counted."""


# Answers that tell of them, such as to whoever made them a member; that of beginning tells nothing else. They are found
# by the index `idempotency_keys_player`.
ERASE_STORED_RESPONSES = """
    WITH responses AS MATERIALIZED (
        SELECT caller_id, key, response_body::jsonb AS body FROM idempotency_keys WHERE player_id = %(id)s
    ), deleted AS (
        DELETE FROM idempotency_keys k USING responses r
        WHERE (k.caller_id, k.key) = (r.caller_id, r.key) AND r.body = jsonb_build_object('player_id', %(id)s)
    )
    UPDATE idempotency_keys k
    SET response_body = (r.body || jsonb_build_object('username', p.username))::text
    FROM responses r, players p
    WHERE p.id = %(id)s AND (k.caller_id, k.key) = (r.caller_id, r.key) AND r.body ? 'username'
      AND r.body ->> 'username' <> p.username
"""


class HistoryPosition(NamedTuple):
    """A scan's place in its player's history."""

    scan_time: datetime
    id: UUID


def erase(conn: Conn, player_id: UUID) -> None:
    """Forget a player. The caller holds the lock of `lock_account`, and commits. Raises LastOwner where an organization
    would be left without one.

    Locks the player, then their organizations, as settling does. Scans are taken as they are free: settling locks them
    before the player, and to wait for them here would be a deadlock.
    """
    _leave_organizations(conn, player_id)
    _release_username(conn, player_id)
    conn.execute("DELETE FROM credentials WHERE player_id = %s", (player_id,))
    conn.execute("DELETE FROM external_identities WHERE player_id = %s", (player_id,))
    store.revoke_sessions(conn, player_id, "erased")
    erase_traces(conn, player_id)
    erase_scans(conn, player_id, None, limit=SCANS_PER_REQUEST)
    conn.execute("INSERT INTO pending_erasures (player_id) VALUES (%s)", (player_id,))
    audit.record(conn, Actor("player", player_id), "account.erased", org_id=None, object_id=player_id)


def list_pending(conn: Conn) -> list[UUID]:
    """Whose erasure has to be looked through again."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute("SELECT player_id FROM pending_erasures ORDER BY started_at").fetchall()


def erase_traces(conn: Conn, player_id: UUID) -> None:
    """What was stored by the way: where the player is, what they generated, answers to their requests, texts that were
    no code. Done again, it changes nothing that is forgotten already."""
    conn.execute("UPDATE players SET location_code = NULL, timezone = 'UTC' WHERE id = %s", (player_id,))
    conn.execute("DELETE FROM generated_codes WHERE created_by = %s", (player_id,))
    conn.execute("UPDATE render_jobs SET requested_by = NULL WHERE requested_by = %s", (player_id,))
    conn.execute("DELETE FROM idempotency_keys WHERE caller_id = %s", (player_id,))
    conn.execute(ERASE_STORED_RESPONSES, {"id": player_id})
    # That they did it stays, not from where; and nothing of what their account was, or what others did with it. In
    # order: people who acted on each other may be erased at the same moment.
    conn.execute(
        """
        WITH telling AS MATERIALIZED (
            SELECT id, coalesce(player_id = %(id)s, false) AS is_theirs,
                   coalesce(object_id = %(id)s::text OR (player_id = %(id)s AND org_id IS NULL), false) AS is_of_them
            FROM audit_log
            WHERE (player_id = %(id)s AND (address IS NOT NULL OR request_id IS NOT NULL))
               OR (player_id = %(id)s AND org_id IS NULL AND (old IS NOT NULL OR new IS NOT NULL))
               OR (object_id = %(id)s::text AND (old IS NOT NULL OR new IS NOT NULL))
            ORDER BY id FOR NO KEY UPDATE
        )
        UPDATE audit_log a SET address = CASE WHEN NOT is_theirs THEN address END,
                               request_id = CASE WHEN NOT is_theirs THEN request_id END,
                               old = CASE WHEN NOT is_of_them THEN old END,
                               new = CASE WHEN NOT is_of_them THEN new END
        FROM telling WHERE a.id = telling.id
        """,
        {"id": player_id},
    )
    conn.execute(
        """
        UPDATE events SET data = data || '{"qr_code": "erased"}'
        WHERE player_id = %s AND org_id IS NULL AND data ->> 'qr_code' <> 'erased'
        """,
        (player_id,),
    )


def erase_scans(conn: Conn, player_id: UUID, after: HistoryPosition | None, *, limit: int) -> HistoryPosition | None:
    """Forget where and how up to `limit` scans were made, in the order of their history from past `after` on; returns
    the last one's place, None at the end. What is counted stays: whose, of which code, when, on what kind of device,
    and the verdict. Scans that somebody has locked are passed over."""
    row = conn.execute(
        f"""
        WITH found AS MATERIALIZED (
            SELECT id, scan_time FROM player_scans
            WHERE player_id = %(player)s AND (scan_time, id) > (%(time)s, %(id)s)
            ORDER BY scan_time, id LIMIT %(limit)s
        ), free AS MATERIALIZED (
            SELECT id FROM player_scans s WHERE id IN (SELECT id FROM found) AND {HAS_PERSONAL_DATA}
            FOR NO KEY UPDATE SKIP LOCKED
        ), forgotten AS (
            UPDATE player_scans s
            SET latitude = NULL, longitude = NULL, accuracy = NULL, distance_m = NULL, client_time = NULL, nonce = NULL,
                request_digest = NULL, request_id = NULL, compare_coordinates = NULL,
                decision_inputs = (
                    SELECT jsonb_object_agg(rule, '{{}}'::jsonb) FROM jsonb_object_keys(s.decision_inputs) AS rule),
                qr_code = CASE WHEN qr_code_id IS NULL AND status <> 'pending' THEN 'erased' ELSE qr_code END
            FROM free WHERE s.id = free.id
        )
        SELECT scan_time, id FROM found ORDER BY scan_time DESC, id DESC LIMIT 1
        """,  # noqa: S608 - a constant
        {
            "player": player_id,
            "time": after.scan_time if after else "-infinity",
            "id": after.id if after else LOWEST,
            "limit": limit,
        },
    ).fetchone()
    return HistoryPosition(*row) if row else None


def finish_if_done(conn: Conn, player_id: UUID) -> bool:
    """Whether the erasure is over: nothing was left, and nothing can come any more."""
    over = conn.execute(
        f"""
        DELETE FROM pending_erasures
        WHERE player_id = %s AND started_at < now() - interval '{MAX_REQUEST_AGE}' AND NOT EXISTS (
            SELECT FROM player_scans s
            WHERE s.player_id = pending_erasures.player_id AND (s.status = 'pending' OR {HAS_PERSONAL_DATA}))
        """,  # noqa: S608 - two constants
        (player_id,),
    )
    return over.rowcount == 1


def _leave_organizations(conn: Conn, player_id: UUID) -> None:
    with conn.cursor(row_factory=scalar_row) as cursor:
        joined = cursor.execute(
            "SELECT org_id FROM memberships WHERE player_id = %s ORDER BY org_id", (player_id,)
        ).fetchall()
    for org_id in joined:
        owners = organizations.lock_owners(conn, org_id)
        if player_id in owners and not has_owner_after(owners, player_id, None):
            raise LastOwner(f"You are the last owner of organization {org_id}; make somebody else an owner first.")
        organizations.remove_member(conn, org_id, player_id)
        audit.record(conn, Actor("player", player_id), "member.removed", org_id=org_id, object_id=player_id)


def _release_username(conn: Conn, player_id: UUID) -> None:
    """The name is free again, also for those who register under a key that was used for it today."""
    found = store.get_account(conn, player_id)
    if found is not None:
        conn.execute("DELETE FROM idempotency_keys WHERE caller_id = %s", (registration_owner(found.username),))
    conn.execute("UPDATE players SET username = %s, erased_at = now() WHERE id = %s", (erased_name(), player_id))
