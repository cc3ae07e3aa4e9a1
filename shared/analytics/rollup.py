"""Adds new verdicts and visits to the rollups, each once.

The log position (one for events, one for visits) moves in the transaction that adds. It stays below the oldest running
transaction, so no row can appear behind it. An advisory lock serializes rollups: settlement and readers never wait.
"""

from shared.analytics.rollup_queries import ADD_SCANS, ADD_VISITS, EVENT_FACTS, SCAN_DELTAS, VISIT_DELTAS
from shared.infra import event_log
from shared.infra.db import Conn
from shared.infra.event_log import ROLLUPS, VISITS, LogPosition

LOG_START = LogPosition(0, 0)


ROLL_UP_SCANS = (
    """
    WITH scan_events AS (
        SELECT type, data FROM events
        WHERE (xid, id) > (%(after_xid)s::text::xid8, %(after_id)s)
          AND (xid, id) <= (%(last_xid)s::text::xid8, %(last_id)s)
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
        SELECT qr_code_id, at, device FROM visits
        WHERE (xid, id) > (%(after_xid)s::text::xid8, %(after_id)s)
          AND (xid, id) <= (%(last_xid)s::text::xid8, %(last_id)s)
    ), deltas AS MATERIALIZED ("""
    + VISIT_DELTAS
    + "), "
    + ADD_VISITS
)
# Rows below the oldest running transaction: no row can be inserted before the last of them.
LAST_EVENT = """
    SELECT count(*) OVER (), xid::text::bigint, id FROM (
        SELECT xid, id FROM events
        WHERE (xid, id) > (%(xid)s::text::xid8, %(id)s) AND xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY xid, id LIMIT %(limit)s
    ) batch
    ORDER BY xid DESC, id DESC LIMIT 1
"""
LAST_VISIT = """
    SELECT count(*) OVER (), xid::text::bigint, id FROM (
        SELECT xid, id FROM visits
        WHERE (xid, id) > (%(xid)s::text::xid8, %(id)s) AND xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY xid, id LIMIT %(limit)s
    ) batch
    ORDER BY xid DESC, id DESC LIMIT 1
"""


def roll_up_scans(conn: Conn, *, limit: int) -> int:
    """Add up to `limit` further events to the rollups. Return their number.

    The caller holds the lock on log positions, and commits.
    """
    position = event_log.load_position(conn, ROLLUPS) or LOG_START
    row = conn.execute(LAST_EVENT, _batch_params(position, limit)).fetchone()
    if row is None:
        return 0
    count, last = row[0], LogPosition(row[1], row[2])
    conn.execute(ROLL_UP_SCANS, _range_params(position, last))
    event_log.save_position(conn, ROLLUPS, last)
    return int(count)


def roll_up_visits(conn: Conn, *, limit: int) -> int:
    """Add up to `limit` further visits to the rollups. Return their number.

    The caller holds the lock on log positions, and commits.
    """
    position = event_log.load_position(conn, VISITS) or LOG_START
    row = conn.execute(LAST_VISIT, _batch_params(position, limit)).fetchone()
    if row is None:
        return 0
    count, last = row[0], LogPosition(row[1], row[2])
    conn.execute(ROLL_UP_VISITS, _range_params(position, last))
    event_log.save_position(conn, VISITS, last)
    return int(count)


def _batch_params(after: LogPosition, limit: int) -> dict[str, str | int]:
    return {"xid": str(after.xid), "id": after.id, "limit": limit}


def _range_params(after: LogPosition, last: LogPosition) -> dict[str, str | int]:
    return {"after_xid": str(after.xid), "after_id": after.id, "last_xid": str(last.xid), "last_id": last.id}
