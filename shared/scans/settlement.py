"""Settle scans in PostgreSQL: write verdicts and all their effects in one transaction.

Verdicts, ledger entries, use counts, locations, quest progress and events are committed together. `lock_and_read` in
`judging_queries` fences them: a worker whose lease was lost writes nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Cursor
from psycopg.errors import CheckViolation
from psycopg.rows import args_row
from psycopg.types.json import Jsonb

from shared import reward_metrics
from shared.infra.db import Conn
from shared.infra.leases import LeasedTable
from shared.quests.scan_progress import advance
from shared.scans.judging_queries import coordinates_or_none
from shared.scans.rules import Scan, Verdict


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
        api_key_id, step_mac, traceparent
    """,
    row=args_row(_to_scan),
)


class StockChanged(Exception):
    """A code has less stock than when its scans were judged. Judge them again."""


@contextmanager
def settling() -> Iterator[None]:
    """Raise StockChanged in place of PostgreSQL's error. Enclose the transaction of `settle`."""
    try:
        yield
    except CheckViolation as error:
        if error.diag.constraint_name == "qr_codes_stock":
            raise StockChanged from error
        raise


def lock_players(conn: Conn, ids: Sequence[UUID]) -> None:
    """Keep workers from judging these players until the transaction ends."""
    conn.execute("SELECT lock_players(%(ids)b)", {"ids": ids})


def settle(conn: Conn, scans: Sequence[Scan], verdicts: Mapping[UUID, Verdict], *, has_quests: bool) -> Cursor[Any]:
    """Write verdicts with all their effects, in the order of the scans. The caller holds the locks of `lock_and_read`,
    and commits within `settling`. In a pipeline, nothing waits for the result unless a scan can advance a quest.

    Return the time of the verdicts as a cursor.
    """
    uses = Counter(scan.qr_code_id for scan in scans if scan.qr_code_id and verdicts[scan.id].uses_stock)
    settled = _settle_scans(conn, [(scan.id, verdicts[scan.id]) for scan in scans], {} if has_quests else uses)
    successes = [scan.id for scan in scans if verdicts[scan.id].status == "success"]
    reward_metrics.record(conn, "scan", sum("reward" in verdicts[id_].outcome for id_ in successes))
    if has_quests:
        advance(conn, successes)
        # Last, because other transactions wait here for a popular code.
        add_uses(conn, uses)
    return settled


def _settle_scans(conn: Conn, verdicts: Sequence[tuple[UUID, Verdict]], uses: Mapping[UUID, int]) -> Cursor[Any]:
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
        | ({"puzzle": verdict.puzzle} if verdict.puzzle else {})
        for scan_id, verdict in verdicts
    ]
    return conn.execute(
        "SELECT settle_scans(%(verdicts)s, %(code_ids)b, %(uses)b)",
        {"verdicts": Jsonb(rows), "code_ids": list(uses), "uses": list(uses.values())},
    )


def grant_rewards(conn: Conn, scan_ids: Sequence[UUID]) -> None:
    """Enter the rewards of these scans in the ledger.

    A second entry for one scan violates the constraint `inventory_ledger_source_key` and aborts the transaction.
    """
    conn.execute("SELECT grant_rewards(%(ids)b)", {"ids": scan_ids})


def move_players(conn: Conn, scan_ids: Sequence[UUID]) -> None:
    """Set each player's location to the destination of their last scan in this order."""
    conn.execute("SELECT move_players(%(ids)b)", {"ids": scan_ids})


def open_puzzles(conn: Conn, scan_ids: Sequence[UUID]) -> None:
    """Start the time to answer the puzzles of these scans, which were held until now."""
    conn.execute("SELECT open_puzzles(%(ids)b)", {"ids": scan_ids})


def append_events(conn: Conn, scan_ids: Sequence[UUID], previous_status: str | None = None) -> None:
    """Append the verdicts of these scans to the event log, in this order.

    `previous_status` is the status that a review has changed.
    """
    conn.execute(
        "SELECT append_verdict_events(%(ids)b, %(previous_status)s)",
        {"ids": scan_ids, "previous_status": previous_status},
    )


def add_uses(conn: Conn, uses: Mapping[UUID, int], *, beyond_stock: bool = False) -> None:
    """Add to the use counts of these codes, or subtract. Violates the constraint `qr_codes_stock` if a code is used
    beyond its stock, unless that is allowed.

    Call it last before the commit: other transactions wait here for a popular code.
    """
    conn.execute(
        "SELECT add_uses(%(ids)b, %(uses)b, %(beyond_stock)s)",
        {"ids": list(uses), "uses": list(uses.values()), "beyond_stock": beyond_stock},
    )
