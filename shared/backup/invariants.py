"""What must hold in every database of Waymark, whatever failed before: each query finds rows that break one promise.

The promises hold in every snapshot, also while scans are judged, and after events were purged or players erased.
"""

from datetime import date

from shared.infra.db import Conn, exactly_one

BROKEN_BY = {
    "a scan with two verdicts": """
        SELECT data ->> 'scan_id' FROM events WHERE type = 'scan_result' AND data ->> 'previous_status' IS NULL
        GROUP BY 1 HAVING count(*) > 1
    """,
    "a verdict without an event": """
        SELECT s.id FROM player_scans s
        WHERE s.settled_at > (SELECT min(at) + interval '1 hour' FROM events)
          AND NOT EXISTS (SELECT FROM events e WHERE e.type = 'scan_result' AND e.data ->> 'scan_id' = s.id::text)
    """,
    "a reward of a scan that was paid never or wrongly": """
        SELECT s.id FROM player_scans s LEFT JOIN inventory_ledger l ON l.source = 'scan' AND l.source_id = s.id
        WHERE s.status = 'success' AND s.outcome ? 'reward'
          AND (l.player_id, l.org_id, l.item, l.quantity) IS DISTINCT FROM
              (s.player_id, s.org_id, s.outcome ->> 'reward', (s.outcome -> 'quantity')::integer)
    """,
    "a payment without a successful scan": """
        SELECT l.id FROM inventory_ledger l LEFT JOIN player_scans s ON s.id = l.source_id
        LEFT JOIN inventory_ledger a ON a.source = 'annulment' AND a.source_id = l.id
        WHERE l.source IN ('scan', 'encounter')
          AND NOT coalesce(s.status = 'success' OR s.status = 'annulled' AND a.id IS NOT NULL, false)
    """,
    "a claimed reward of a quest that was paid never or wrongly": """
        SELECT c.id FROM quest_claims c LEFT JOIN inventory_ledger l ON l.source = 'quest' AND l.source_id = c.id
        WHERE (l.player_id, l.org_id, l.item, l.quantity) IS DISTINCT FROM (c.player_id, c.org_id, c.item, c.quantity)
    """,
    "a payment without a claim of a quest": """
        SELECT l.id FROM inventory_ledger l LEFT JOIN quest_claims c ON c.id = l.source_id
        WHERE l.source = 'quest' AND c.id IS NULL
    """,
    "a redemption that differs from the ledger": """
        SELECT r.id FROM redemptions r LEFT JOIN inventory_ledger l ON l.source = 'redemption' AND l.source_id = r.id
        WHERE (l.player_id, l.org_id, l.item, l.quantity) IS DISTINCT FROM (r.player_id, r.org_id, r.item, -r.quantity)
    """,
    "a balance below zero": """
        SELECT player_id FROM inventory_ledger GROUP BY player_id, org_id, item HAVING sum(quantity) < 0
    """,
}


def violations(conn: Conn) -> dict[str, int]:
    """Return the number of rows that break each promise that is broken."""
    counts = {promise: conn.execute(query).rowcount for promise, query in BROKEN_BY.items()}
    return {promise: count for promise, count in counts.items() if count}


def sample_day(conn: Conn) -> date | None:
    """Return the last day with rollups, or None."""
    day: date | None = exactly_one(conn.execute("SELECT max(day) FROM scan_rollup_daily"))[0]
    return day


def differing_rollups(conn: Conn, day: date) -> int:
    """Return how many subjects have other counts on this day than their scans. Every event must be rolled up."""
    return conn.execute(
        """
        WITH scans AS MATERIALIZED (
            SELECT s.qr_code_id, q.org_id, s.status FROM player_scans s JOIN qr_codes q ON q.id = s.qr_code_id
            WHERE (s.scan_time AT TIME ZONE 'UTC')::date = %(day)s AND s.status <> 'pending'
        ), counted AS (
            SELECT subject_id, count(*) AS count, count(*) FILTER (WHERE status = 'success') AS success,
                   count(*) FILTER (WHERE status = 'held') AS held,
                   count(*) FILTER (WHERE status = 'annulled') AS annulled
            FROM scans CROSS JOIN LATERAL (VALUES (qr_code_id), (org_id)) subjects (subject_id) GROUP BY 1
        ), rolled_up AS (
            SELECT subject_id, count, success, held, annulled FROM scan_rollup_daily WHERE day = %(day)s
        )
        SELECT FROM counted c FULL JOIN rolled_up r USING (subject_id)
        WHERE (c.count, c.success, c.held, c.annulled) IS DISTINCT FROM (r.count, r.success, r.held, r.annulled)
        """,
        {"day": day},
    ).rowcount
