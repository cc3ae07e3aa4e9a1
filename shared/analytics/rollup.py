"""Adds new verdicts and visits to the rollups, each once.

The log position of the events moves in the transaction that adds them, and each visit is marked in the statement that
adds it. An advisory lock serializes rollups: settlement and readers never wait.
"""

from psycopg.rows import scalar_row

from shared.analytics.rollup_queries import ADD_SCANS, ADD_VISITS, EVENT_FACTS, SCAN_DELTAS, VISIT_DELTAS
from shared.infra import event_log
from shared.infra.db import Conn, exactly_one
from shared.infra.event_log import ROLLUPS

ROLL_UP_SCANS = (
    """
    WITH scan_events AS (
        SELECT type, data FROM events
        WHERE position > %(after)s AND position <= %(last)s
    ), facts AS ("""
    + EVENT_FACTS
    + "), deltas AS MATERIALIZED ("
    + SCAN_DELTAS
    + "), "
    + ADD_SCANS
)
ROLL_UP_VISITS = (
    """
    WITH new_visits AS (
        UPDATE visits SET is_rolled_up = true
        WHERE id = ANY (%(ids)s) RETURNING qr_code_id, at, device
    ), deltas AS MATERIALIZED ("""
    + VISIT_DELTAS
    + "), "
    + ADD_VISITS
)


def roll_up_scans(conn: Conn, *, limit: int) -> int:
    """Add up to `limit` further events to the rollups. Return their number.

    The caller holds the lock on log positions, and commits.
    """
    position = event_log.load_position(conn, ROLLUPS)
    count, last = exactly_one(
        conn.execute(
            """
            SELECT count(*), max(position) FROM (
                SELECT position FROM events WHERE position > %(after)s ORDER BY position LIMIT %(limit)s
            ) batch
            """,
            {"after": position, "limit": limit},
        )
    )
    if count:
        conn.execute(ROLL_UP_SCANS, {"after": position, "last": last})
        event_log.save_position(conn, ROLLUPS, last)
    return int(count)


def roll_up_visits(conn: Conn, *, limit: int) -> int:
    """Add up to `limit` further visits to the rollups. Return their number.

    The caller holds the lock on log positions, and commits.
    """
    with conn.cursor(row_factory=scalar_row) as cursor:
        ids = cursor.execute(
            "SELECT id FROM visits WHERE NOT is_rolled_up ORDER BY id LIMIT %(limit)s", {"limit": limit}
        ).fetchall()
    if ids:
        conn.execute(ROLL_UP_VISITS, {"ids": ids})
    return len(ids)
