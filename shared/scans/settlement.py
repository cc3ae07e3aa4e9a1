"""Settle scans in PostgreSQL: lock what judging reads, then write verdicts and all their effects in one transaction.

Verdicts, ledger entries, use counts, locations, quest progress and events are committed together. `lock_scans` fences
them: a worker whose lease was lost writes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import args_row
from psycopg.types.json import Jsonb

from shared.infra import leases
from shared.infra.db import Conn
from shared.infra.leases import LeasedTable
from shared.quests.scan_progress import advance
from shared.scans import judging_queries
from shared.scans.judging_limits import from_settings
from shared.scans.judging_queries import coordinates_or_none
from shared.scans.rules import JudgingContext, Scan, Verdict
from shared.settings import settings


def _to_scan(
    scan_id: UUID,
    player_id: UUID,
    code_text: str,
    code_id: UUID | None,
    scan_time: datetime,
    received_at: datetime,
    latitude: float | None,
    longitude: float | None,
    *rest: Any,
) -> Scan:
    coordinates = coordinates_or_none(latitude, longitude)
    return Scan(scan_id, player_id, code_text, code_id, scan_time, received_at, coordinates, *rest)


PENDING_SCANS = LeasedTable(
    name="player_scans",
    columns="""
        id, player_id, qr_code, qr_code_id, scan_time, received_at, latitude, longitude, accuracy, request_id,
        api_key_id
    """,
    row=args_row(_to_scan),
)


class StockChanged(Exception):
    """A code has less stock than when its scans were judged. Judge them again."""


def lock_scans(conn: Conn, token: UUID, scans: Sequence[Scan]) -> list[Scan]:
    """Lock the scans that this lease still holds, then their players, organizations and codes. Return those scans.

    Raises LockNotAvailable after 5 seconds.
    """
    # Each kind of row in id order, so two workers never wait for each other. The lock of a player makes limits and
    # travel hold when two workers judge one player; the lock of a code makes its stock hold. NO KEY UPDATE lets new
    # scans of the same players and codes be inserted. For a few scans, planning took as long as running: generic plans.
    with conn.pipeline():
        conn.execute(
            """
            SELECT set_config('lock_timeout', '5s', true), set_config('plan_cache_mode', 'force_generic_plan', true)
            """
        )
        held = leases.lock_held(conn, PENDING_SCANS, token, [scan.id for scan in scans])
        lock_players(conn, {scan.player_id for scan in scans})
        lock_fair_play_organizations(conn, {scan.qr_code_id for scan in scans if scan.qr_code_id})
        lock_limited_codes(conn, {scan.qr_code_id for scan in scans if scan.qr_code_id})
    if held.rowcount == len(scans):
        return list(scans)
    ids = {row[0] for row in held.fetchall()}
    return [scan for scan in scans if scan.id in ids]


def lock_players(conn: Conn, ids: Iterable[UUID]) -> None:
    """Keep other workers from judging these players until the transaction ends."""
    # In id order, so two workers never wait for each other.
    conn.execute("SELECT FROM players WHERE id = ANY(%(ids)b) ORDER BY id FOR NO KEY UPDATE", {"ids": list(ids)})


def lock_fair_play_organizations(conn: Conn, code_ids: Iterable[UUID]) -> None:
    """Keep other workers from judging scans of these codes' organizations that have fair-play rules."""
    # In id order, so two workers never wait for each other.
    conn.execute(
        """
        SELECT FROM organizations
        WHERE fair_play IS NOT NULL AND id IN (SELECT org_id FROM qr_codes WHERE id = ANY(%(code_ids)b))
        ORDER BY id FOR NO KEY UPDATE
        """,
        {"code_ids": list(code_ids)},
    )


def lock_limited_codes(conn: Conn, ids: Iterable[UUID]) -> None:
    """Keep other workers from judging scans of those of these codes that have a stock."""
    # In id order, so two workers never wait for each other.
    conn.execute(
        "SELECT FROM qr_codes WHERE id = ANY(%(ids)b) AND max_scans IS NOT NULL ORDER BY id FOR NO KEY UPDATE",
        {"ids": list(ids)},
    )


def load_context(conn: Conn, scans: Sequence[Scan]) -> JudgingContext:
    """Return everything that judging these scans looks at. After `lock_scans` it is valid until the commit."""
    return judging_queries.load_context(conn, scans, from_settings(settings()))


def settle(conn: Conn, scans: Sequence[Scan], verdicts: Mapping[UUID, Verdict]) -> None:
    """Write verdicts with all their effects. The caller holds the locks of `lock_scans` and commits.

    Raises StockChanged if a code has less stock than the verdicts use.
    """
    ids = [scan.id for scan in scans]
    with conn.pipeline():
        _save_verdicts(conn, verdicts)
        grant_rewards(conn, ids)
        move_players(conn, [scan.id for scan in scans if "destination" in verdicts[scan.id].outcome])
        append_events(conn, ids)
    advance(conn, [scan.id for scan in scans if verdicts[scan.id].status == "success"])
    add_uses(conn, Counter(scan.qr_code_id for scan in scans if scan.qr_code_id and verdicts[scan.id].counts_as_use))


def _save_verdicts(conn: Conn, verdicts: Mapping[UUID, Verdict]) -> None:
    # One JSON document is several times cheaper to write than an array for each column.
    rows = [
        {
            "id": scan_id.hex,
            "status": verdict.status,
            "reason": verdict.reason,
            "distance_m": verdict.distance_m,
            "outcome": verdict.outcome,
        }
        | ({"decision_inputs": verdict.decision_inputs} if verdict.decision_inputs else {})
        | ({"compare_coordinates": True} if verdict.compare_coordinates else {})
        for scan_id, verdict in verdicts.items()
    ]
    conn.execute(
        """
        UPDATE player_scans s SET status = v.status, reason = v.reason, distance_m = v.distance_m,
                                  outcome = v.outcome, decision_inputs = v.decision_inputs,
                                  compare_coordinates = v.compare_coordinates,
                                  settled_at = statement_timestamp(), lease_token = NULL
        FROM jsonb_to_recordset(%(verdicts)s) AS v (id uuid, status text, reason text, distance_m double precision,
                                                    outcome jsonb, decision_inputs jsonb, compare_coordinates boolean)
        WHERE s.id = v.id AND s.status = 'pending'
        """,
        {"verdicts": Jsonb(rows)},
    )


def grant_rewards(conn: Conn, scan_ids: Sequence[UUID]) -> None:
    """Enter the rewards of these scans in the ledger.

    A second entry for one scan violates the constraint `inventory_ledger_source_key` and aborts the transaction.
    """
    conn.execute(
        """
        INSERT INTO inventory_ledger (player_id, org_id, item, quantity, source, source_id)
        SELECT player_id, org_id, outcome ->> 'reward', (outcome -> 'quantity')::integer, 'scan', id
        FROM player_scans WHERE id = ANY(%(ids)b) AND status = 'success' AND outcome ? 'reward'
        """,
        {"ids": scan_ids},
    )


def move_players(conn: Conn, scan_ids: Sequence[UUID]) -> None:
    """Set each player's location to the destination of their last scan in this order."""
    if not scan_ids:
        return
    conn.execute(
        """
        UPDATE players p SET location_code = arrivals.code
        FROM (
            SELECT DISTINCT ON (player_id) player_id, outcome #>> '{destination,code}' AS code
            FROM unnest(%(ids)b::uuid[]) WITH ORDINALITY AS scan_order (id, position) JOIN player_scans USING (id)
            WHERE status = 'success' AND outcome ? 'destination'
            ORDER BY player_id, position DESC
        ) arrivals
        WHERE p.id = arrivals.player_id
        """,
        {"ids": scan_ids},
    )


def append_events(conn: Conn, scan_ids: Sequence[UUID], previous_status: str | None = None) -> None:
    """Append the verdicts of these scans to the event log, in this order.

    `previous_status` is the status that a review has changed. Organizations read these events too, so they hold only
    what the player may know.
    """
    conn.execute(
        """
        INSERT INTO events (type, player_id, org_id, data)
        SELECT new_events.type, s.player_id, s.org_id, new_events.data || rewards.reward
        FROM unnest(%(ids)b::uuid[]) WITH ORDINALITY AS scan_order (id, position)
        JOIN player_scans s USING (id)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN s.status = 'success' AND s.outcome ? 'reward' THEN s.outcome ELSE '{}' END
        ) rewards (reward)
        CROSS JOIN LATERAL (
            SELECT 1, 'scan_result', jsonb_strip_nulls(jsonb_build_object(
                'scan_id', s.id, 'qr_code', s.qr_code, 'status', s.status, 'reason', s.reason,
                'previous_status', %(previous_status)s::text))
            UNION ALL
            SELECT 2, 'reward_granted', jsonb_build_object('scan_id', s.id) WHERE rewards.reward <> '{}'
        ) new_events (turn, type, data)
        ORDER BY scan_order.position, new_events.turn
        """,
        {"ids": scan_ids, "previous_status": previous_status},
    )


def add_uses(conn: Conn, uses: Mapping[UUID, int]) -> None:
    """Add to the use counts of these codes, or subtract. Raise StockChanged if a code is used beyond its stock.

    Call it last before the commit: other transactions wait here for a popular code.
    """
    if not uses:
        return
    # In id order, so two workers never wait for each other.
    updated = conn.execute(
        """
        WITH locked_codes AS (
            SELECT q.id, u.uses FROM unnest(%(ids)b::uuid[], %(uses)b::bigint[]) u (id, uses) JOIN qr_codes q USING (id)
            ORDER BY q.id FOR NO KEY UPDATE OF q
        )
        UPDATE qr_codes q SET use_count = use_count + locked_codes.uses FROM locked_codes WHERE q.id = locked_codes.id
        RETURNING locked_codes.uses, q.use_count, q.max_scans
        """,
        {"ids": list(uses), "uses": list(uses.values())},
    )
    check_stock(updated.fetchall())


def check_stock(rows: Iterable[tuple[int, int, int | None]]) -> None:
    """Raise StockChanged if a row of uses, use count and stock is over its stock.

    `lock_limited_codes` prevents that, except for a code whose stock was set or lowered after the lock.
    """
    if any(uses > 0 and max_scans is not None and use_count > max_scans for uses, use_count, max_scans in rows):
        raise StockChanged
