"""Settling scans in PostgreSQL: claim under a lease, read what judging needs under lock, write verdicts and effects.

A claim is committed at once, so that a scan which kills its worker is known by its attempts. Verdicts, ledger entries,
counters and events are committed together, fenced by the lease's token: a worker that was stopped and comes back too
late finds its scans taken and writes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from psycopg.types.json import Jsonb

from shared.infra import event_log
from shared.infra.db import Conn, exactly_one
from shared.quests.scan_progress import advance
from shared.scans import judging_queries
from shared.scans.judging_limits import from_settings
from shared.scans.judging_queries import coordinates_or_none
from shared.scans.rules import JudgingContext, Scan, Verdict
from shared.settings import settings

MAX_ATTEMPTS = 3


class StockChanged(Exception):
    """A code has less stock than when its scans were judged. Judge them again."""


def claim_fresh(conn: Conn, token: UUID, lease: timedelta, *, limit: int) -> list[Scan]:
    """Lease the pending scans that nobody has tried yet. SKIP LOCKED: side by side, workers take different ones."""
    return _claim(conn, "lease_until IS NULL", "id", token, lease, limit)


def claim_suspect(conn: Conn, token: UUID, lease: timedelta) -> list[Scan]:
    """Lease one scan whose worker did not come back. One at a time, the least tried first: so a scan that kills its
    worker takes no others with it, and is found out."""
    return _claim(conn, f"lease_until < now() AND attempts < {MAX_ATTEMPTS}", "attempts, id", token, lease, 1)


def claim_spent(conn: Conn, token: UUID, lease: timedelta, *, limit: int) -> list[Scan]:
    """Lease the scans that were tried too often, to be set aside."""
    return _claim(conn, f"lease_until < now() AND attempts >= {MAX_ATTEMPTS}", "id", token, lease, limit)


def _claim(conn: Conn, which: str, order: str, token: UUID, lease: timedelta, limit: int) -> list[Scan]:
    """Lease scans in a transaction of its own, which does not wait for the disk: a claim that a crash undoes is made
    again, and what it leads to is committed after it."""
    rows = conn.execute(
        f"""
        UPDATE player_scans
        SET lease_token = %(token)s, lease_until = now() + %(lease)s, attempts = attempts + 1
        FROM (SELECT set_config('synchronous_commit', 'off', true)) unhurried
        WHERE id = ANY (ARRAY (
            SELECT id FROM player_scans
            WHERE status = 'pending' AND {which}
            ORDER BY {order} LIMIT %(limit)s
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING id, player_id, qr_code, qr_code_id, scan_time, received_at, latitude, longitude, accuracy, request_id,
                  api_key_id
        """,  # noqa: S608 - `which` and `order` are constants of this module
        {"limit": limit, "token": token, "lease": lease},
        binary=True,  # read in half the time
    ).fetchall()
    scans = [
        Scan(scan, player, text, code, at, received, coordinates_or_none(latitude, longitude), accuracy, request, key)
        for scan, player, text, code, at, received, latitude, longitude, accuracy, request, key in rows
    ]
    return sorted(scans, key=lambda scan: (scan.scan_time, scan.received_at, scan.id))


def has_expired_leases(conn: Conn) -> bool:
    """Whether there are scans whose worker did not come back."""
    row = exactly_one(
        conn.execute("SELECT EXISTS (SELECT FROM player_scans WHERE status = 'pending' AND lease_until < now())")
    )
    return bool(row[0])


def give_back(conn: Conn, token: UUID) -> None:
    """End a lease as if it had never been: PostgreSQL failed us, not the scans."""
    conn.execute(
        """
        UPDATE player_scans SET lease_token = NULL, attempts = attempts - 1,
                                lease_until = CASE WHEN attempts > 1 THEN now() END
        WHERE lease_token = %s AND status = 'pending'
        """,
        (token,),
    )


def suspect(conn: Conn, token: UUID) -> None:
    """End a lease at once, attempts and all: judging these scans failed, so each is tried by itself next."""
    conn.execute("UPDATE player_scans SET lease_until = now() WHERE lease_token = %s AND status = 'pending'", (token,))


def lock_scans(conn: Conn, token: UUID, scans: Sequence[Scan]) -> list[Scan]:
    """Lock the scans that are still ours, then their players, organizations and codes, each in id order so that no two
    workers wait for each other. Returns those still ours.

    The player's lock makes limits and travel hold when two workers judge one player; the code's lock makes stock hold.
    NO KEY UPDATE lets new scans of the same player and code be inserted meanwhile. Of a few scans, planning every
    statement of the transaction took as long as running it: each goes by its one general plan, an index for each id.
    """
    with conn.pipeline():
        conn.execute(
            """
            SELECT set_config('lock_timeout', '5s', true), set_config('plan_cache_mode', 'force_generic_plan', true)
            """
        )
        still = conn.execute(
            """
            SELECT id FROM player_scans
            WHERE id = ANY(%b) AND lease_token = %s AND status = 'pending' ORDER BY id FOR NO KEY UPDATE
            """,
            ([scan.id for scan in scans], token),
        )
        lock_players(conn, {scan.player_id for scan in scans})
        lock_fair_play_organizations(conn, {scan.qr_code_id for scan in scans if scan.qr_code_id})
        lock_limited_codes(conn, {scan.qr_code_id for scan in scans if scan.qr_code_id})
    if still.rowcount == len(scans):  # as nearly always: nobody took any
        return list(scans)
    ours = {row[0] for row in still.fetchall()}
    return [scan for scan in scans if scan.id in ours]


def lock_players(conn: Conn, ids: Iterable[UUID]) -> None:
    """Until the transaction ends, no other worker judges these players."""
    conn.execute("SELECT FROM players WHERE id = ANY(%b) ORDER BY id FOR NO KEY UPDATE", (list(ids),))


def lock_fair_play_organizations(conn: Conn, code_ids: Iterable[UUID]) -> None:
    """Until the transaction ends, no other worker judges scans of those organizations that compare players."""
    conn.execute(
        """
        SELECT FROM organizations
        WHERE fair_play IS NOT NULL AND id IN (SELECT org_id FROM qr_codes WHERE id = ANY(%b))
        ORDER BY id FOR NO KEY UPDATE
        """,
        (list(code_ids),),
    )


def lock_limited_codes(conn: Conn, ids: Iterable[UUID]) -> None:
    """Until the transaction ends, no other worker judges scans of those codes that have a stock."""
    conn.execute(
        "SELECT FROM qr_codes WHERE id = ANY(%b) AND max_scans IS NOT NULL ORDER BY id FOR NO KEY UPDATE", (list(ids),)
    )


def load_context(conn: Conn, scans: Sequence[Scan]) -> JudgingContext:
    """What judging these scans needs to know. Read after `lock`, so that it stays true until the commit."""
    return judging_queries.load_context(conn, scans, judging_queries.from_rows(scans), from_settings(settings()))


def settle(conn: Conn, scans: Sequence[Scan], verdicts: Mapping[UUID, Verdict]) -> None:
    """Write verdicts and all that they bring about. The caller holds the locks of `lock`, and commits all of it."""
    ids = [scan.id for scan in scans]
    with conn.pipeline():
        _write(conn, verdicts)
        grant_rewards(conn, ids)
        move_players(conn, [scan.id for scan in scans if "destination" in verdicts[scan.id].outcome])
        tell(conn, ids)
    advance(conn, [scan.id for scan in scans if verdicts[scan.id].status == "success"])
    add_uses(conn, Counter(scan.qr_code_id for scan in scans if scan.qr_code_id and verdicts[scan.id].counts_as_use))


def _write(conn: Conn, verdicts: Mapping[UUID, Verdict]) -> None:
    conn.execute(
        """
        UPDATE player_scans s SET status = v.status, reason = v.reason, distance_m = v.distance_m,
                                  outcome = v.outcome, decision_inputs = v.decision_inputs,
                                  compare_coordinates = v.compare_coordinates,
                                  settled_at = statement_timestamp(), lease_token = NULL
        FROM jsonb_to_recordset(%s) AS v (id uuid, status text, reason text, distance_m double precision,
                                          outcome jsonb, decision_inputs jsonb, compare_coordinates boolean)
        WHERE s.id = v.id AND s.status = 'pending'
        """,
        (
            Jsonb(  # one document is several times cheaper to write than an array per column
                [
                    {
                        "id": scan_id.hex,
                        "status": verdict.status,
                        "reason": verdict.reason,
                        "distance_m": verdict.distance_m,
                        "outcome": verdict.outcome,
                    }
                    | ({"decision_inputs": verdict.facts} if verdict.facts else {})
                    | ({"compare_coordinates": True} if verdict.watched else {})
                    for scan_id, verdict in verdicts.items()
                ]
            ),
        ),
    )


def grant_rewards(conn: Conn, scan_ids: Sequence[UUID]) -> None:
    """Enter in the ledger what these scans have won. A second entry for one scan is refused by the constraint
    `inventory_ledger_source_key`, and takes its whole transaction with it."""
    conn.execute(
        """
        INSERT INTO inventory_ledger (player_id, item, quantity, source, source_id)
        SELECT player_id, outcome ->> 'reward', (outcome -> 'quantity')::integer, 'scan', id
        FROM player_scans WHERE id = ANY(%b) AND status = 'success' AND outcome ? 'reward'
        """,
        (scan_ids,),
    )


def move_players(conn: Conn, scan_ids: Sequence[UUID]) -> None:
    """Bring players to where these scans transport them; of several, to the last one's destination."""
    if not scan_ids:
        return
    conn.execute(
        """
        UPDATE players p SET location_code = arrival.code
        FROM (SELECT DISTINCT ON (player_id) player_id, outcome #>> '{destination,code}' AS code
              FROM unnest(%b::uuid[]) WITH ORDINALITY AS given (id, place) JOIN player_scans USING (id)
              WHERE status = 'success' AND outcome ? 'destination'
              ORDER BY player_id, place DESC) arrival
        WHERE p.id = arrival.player_id
        """,
        (scan_ids,),
    )


def tell(conn: Conn, scan_ids: Sequence[UUID], previous_status: str | None = None) -> None:
    """Append to the event log what was decided, scan by scan; `previous_status` is the status that staff have changed.
    Only what the player may know: organizations read the same event."""
    conn.execute(
        """
        INSERT INTO events (type, player_id, org_id, data)
        SELECT told.type, s.player_id, q.org_id, told.data || won.reward
        FROM unnest(%b::uuid[]) WITH ORDINALITY AS given (id, place)
        JOIN player_scans s USING (id)
        LEFT JOIN qr_codes q ON q.id = s.qr_code_id
        CROSS JOIN LATERAL (
            SELECT CASE WHEN s.status = 'success' AND s.outcome ? 'reward' THEN s.outcome ELSE '{}' END) won (reward)
        CROSS JOIN LATERAL (
            SELECT 1, 'scan_result', jsonb_strip_nulls(jsonb_build_object(
                'scan_id', s.id, 'qr_code', s.qr_code, 'status', s.status, 'reason', s.reason,
                'previous_status', %s::text))
            UNION ALL
            SELECT 2, 'reward_granted', jsonb_build_object('scan_id', s.id) WHERE won.reward <> '{}'
        ) told (turn, type, data)
        ORDER BY given.place, told.turn
        """,
        (scan_ids, previous_status),
    )
    event_log.notify_relay(conn)


def add_uses(conn: Conn, used: Mapping[UUID, int]) -> None:
    """Add to each code's count, or take from it, in id order. Last before the commit: others wait here on a code that
    many scan. Raises StockChanged."""
    if not used:
        return
    counted = conn.execute(
        """
        WITH used AS (
            SELECT q.id, u.scans FROM unnest(%b::uuid[], %b::bigint[]) u (id, scans) JOIN qr_codes q USING (id)
            ORDER BY q.id FOR NO KEY UPDATE OF q
        )
        UPDATE qr_codes q SET use_count = use_count + used.scans FROM used WHERE q.id = used.id
        RETURNING used.scans, q.use_count, q.max_scans
        """,
        (list(used), list(used.values())),
    )
    check_stock(counted.fetchall())


def check_stock(counted: Iterable[tuple[int, int, int | None]]) -> None:
    """Raises StockChanged where more has been given than there is. `lock_codes` keeps workers from that, but cannot for
    a code that was given a stock, or less of it, after they had looked."""
    if any(scans > 0 and max_scans is not None and use_count > max_scans for scans, use_count, max_scans in counted):
        raise StockChanged
