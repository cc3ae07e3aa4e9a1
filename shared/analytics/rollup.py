"""Adds new verdicts and visits to the rollups, each once.

The log position (one for events, one for visits) moves in the transaction that adds. It stays below the oldest running
transaction, so no row can appear behind it. An advisory lock serializes rollups: settlement and readers never wait.
"""

from typing import Literal

from shared.analytics.rollup_queries import ADD_SCANS, ADD_VISITS, EVENT_FACTS, SCAN_DELTAS, VISIT_DELTAS
from shared.infra import event_log
from shared.infra.db import Conn
from shared.infra.event_log import ROLLUPS, VISITS, LogPosition

LOG_START = LogPosition(0, 0)
LogName = Literal["events", "visits"]


def roll_up_scans(conn: Conn, *, limit: int) -> int:
    """Add up to `limit` further events to the rollups; returns how many. The caller holds the lock, and commits."""
    mark = event_log.load_position(conn, ROLLUPS) or LOG_START
    read, upto = _batch_end(conn, "events", mark, limit)
    if upto is not None:
        conn.execute(
            f"""
            WITH scan_events AS (
                SELECT type, data FROM events
                WHERE (xid, id) > (%(after_xid)s::text::xid8, %(after_id)s)
                  AND (xid, id) <= (%(upto_xid)s::text::xid8, %(upto_id)s)
            ), facts AS ({EVENT_FACTS}), deltas AS MATERIALIZED ({SCAN_DELTAS}), {ADD_SCANS}
            """,  # noqa: S608 - put together from constants
            _range_params(mark, upto),
        )
        event_log.save_position(conn, ROLLUPS, upto)
    return read


def roll_up_visits(conn: Conn, *, limit: int) -> int:
    """Add up to `limit` further visits to the rollups; returns how many. The caller holds the lock, and commits."""
    mark = event_log.load_position(conn, VISITS) or LOG_START
    read, upto = _batch_end(conn, "visits", mark, limit)
    if upto is not None:
        conn.execute(
            f"""
            WITH new_visits AS (
                SELECT qr_code_id, at, device FROM visits
                WHERE (xid, id) > (%(after_xid)s::text::xid8, %(after_id)s)
                  AND (xid, id) <= (%(upto_xid)s::text::xid8, %(upto_id)s)
            ), deltas AS MATERIALIZED ({VISIT_DELTAS}), {ADD_VISITS}
            """,  # noqa: S608 - put together from constants
            _range_params(mark, upto),
        )
        event_log.save_position(conn, VISITS, upto)
    return read


def _batch_end(conn: Conn, log: LogName, mark: LogPosition, limit: int) -> tuple[int, LogPosition | None]:
    """Return the number of rows in the next batch, and the position of the last. No row can be inserted before it."""
    row = conn.execute(
        f"""
        SELECT count(*) OVER (), xid::text::bigint, id FROM (
            SELECT xid, id FROM {log}
            WHERE (xid, id) > (%(xid)s::text::xid8, %(id)s) AND xid < pg_snapshot_xmin(pg_current_snapshot())
            ORDER BY xid, id LIMIT %(limit)s) batch
        ORDER BY xid DESC, id DESC LIMIT 1
        """,  # noqa: S608 - `log` is one of two constants
        {"xid": str(mark.xid), "id": mark.id, "limit": limit},
    ).fetchone()
    return (row[0], LogPosition(row[1], row[2])) if row else (0, None)


def _range_params(after: LogPosition, upto: LogPosition) -> dict[str, str | int]:
    return {"after_xid": str(after.xid), "after_id": after.id, "upto_xid": str(upto.xid), "upto_id": upto.id}
