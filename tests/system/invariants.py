"""What must hold however things broke, asked of PostgreSQL: each query finds what breaks one promise."""

from collections.abc import Mapping
from uuid import UUID

import psycopg

from shared.infra.db import Conn
from tests.support.polling import eventually

VERDICT_WITHIN = 60.0
"""Seconds from when the dependencies are back: the contract's."""

BROKEN_BY = {
    "a scan without a verdict": "SELECT id FROM player_scans WHERE status = 'pending'",
    "a scan without exactly one qr_scan event": """
        SELECT s.id FROM player_scans s LEFT JOIN events e ON e.type = 'qr_scan' AND e.data->>'scan_id' = s.id::text
        GROUP BY s.id HAVING count(e.id) <> 1
    """,
    "a verdict without exactly one event": """
        SELECT s.id FROM player_scans s LEFT JOIN events e ON e.type = 'scan_result' AND e.data->>'scan_id' = s.id::text
        GROUP BY s.id HAVING count(e.id) <> 1
    """,
    "a verdict whose event differs from the row": """
        SELECT s.id FROM player_scans s JOIN events e ON e.type = 'scan_result' AND e.data->>'scan_id' = s.id::text
        WHERE (e.data->>'status', e.data->>'reason', e.player_id) IS DISTINCT FROM (s.status, s.reason, s.player_id)
    """,
    "a reward paid never, twice or wrongly": """
        SELECT s.id FROM player_scans s JOIN qr_codes q ON q.id = s.qr_code_id
        LEFT JOIN inventory_ledger l ON l.source = 'scan' AND l.source_id = s.id
        WHERE s.status = 'success' AND q.scan_type = 'item_drop' AND q.reward_item IS NOT NULL
        GROUP BY s.id HAVING count(l.id) <> 1
            OR bool_or((l.player_id, l.org_id, l.item, l.quantity)
                       <> (s.player_id, q.org_id, q.reward_item, q.reward_quantity))
    """,
    "a reward that no success is behind": """
        SELECT l.id FROM inventory_ledger l LEFT JOIN player_scans s ON l.source_id = s.id
        WHERE l.source = 'scan' AND s.status IS DISTINCT FROM 'success'
    """,
    "a reward without exactly one event": """
        SELECT l.id FROM inventory_ledger l
        LEFT JOIN events e ON e.type = 'reward_granted' AND e.data->>'scan_id' = l.source_id::text
        WHERE l.source = 'scan' GROUP BY l.id HAVING count(e.id) <> 1
    """,
    "a stock that is not the scans that used it": """
        SELECT q.id FROM qr_codes q LEFT JOIN player_scans s ON s.qr_code_id = q.id AND s.status = 'success'
        GROUP BY q.id HAVING count(s.id) <> q.use_count OR count(s.id) > q.max_scans
    """,
    "a balance below zero": """
        SELECT player_id FROM inventory_ledger GROUP BY player_id, org_id, item HAVING sum(quantity) < 0
    """,
    "a player's limit exceeded": """
        SELECT s.player_id FROM player_scans s JOIN qr_codes q ON q.id = s.qr_code_id
        WHERE s.status IN ('success', 'held')
        GROUP BY s.player_id, q.id HAVING count(*) > q.per_player_limit
    """,
}


def violations(conn: Conn) -> dict[str, int]:
    """How many rows break each promise that is broken."""
    counts = {promise: conn.execute(query).rowcount for promise, query in BROKEN_BY.items()}
    return {promise: count for promise, count in counts.items() if count}


def pending(conn: Conn) -> int:
    row = conn.execute("SELECT count(*) FROM player_scans WHERE status = 'pending'").fetchone()
    assert row is not None
    return int(row[0])


def assert_settled_once(database_url: str, accepted: Mapping[tuple[UUID, str], UUID]) -> None:
    """Every acknowledged scan has one row and soon one verdict, its player has no other, and no promise is broken."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        players = list({player for player, _ in accepted})
        eventually(lambda: pending(conn) == 0, VERDICT_WITHIN)
        rows = conn.execute("SELECT player_id, nonce, id FROM player_scans WHERE player_id = ANY(%s)", (players,))
        stored = [((player, nonce), scan) for player, nonce, scan in rows]
        assert len(stored) == len(accepted)
        assert dict(stored) == accepted
        assert violations(conn) == {}


def verdicts(database_url: str, code: str) -> dict[str, int]:
    """How many scans of a code were given each status, or the reason why not."""
    with psycopg.connect(database_url) as conn:
        rows = conn.execute(
            "SELECT coalesce(reason, status), count(*) FROM player_scans WHERE qr_code = %s GROUP BY 1", (code,)
        )
        return {str(value): int(count) for value, count in rows}
