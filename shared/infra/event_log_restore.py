"""Lowers the log positions of a restored database below everything that its new cluster writes.

Transaction ids start over in a new cluster, and the restored rows have higher ones. New rows would never be past the
position of a consumer. What a consumer has read stays read, and the rest stays unread.
"""

from shared.infra import event_log
from shared.infra.db import Conn, exactly_one
from shared.infra.event_log import CONSUMERS, VISITS, LogPosition
from shared.infra.logging import get_logger

log = get_logger()

REASON = "restored from another cluster"

FIRST_XID = 3
"""The first transaction id of a PostgreSQL cluster. Its own setup uses some hundred."""


def has_future_positions(conn: Conn) -> bool:
    """Return whether a position, event or visit has a transaction id that this cluster has not reached."""
    # No visible row that this cluster wrote has the xmax of the snapshot, or a later id. Reads the ends of indexes.
    row = exactly_one(
        conn.execute(
            """
            SELECT EXISTS (
                       SELECT FROM log_positions
                       WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()) AND name <> 'retention_horizon'
                   )
                OR EXISTS (SELECT FROM events WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()))
                OR EXISTS (SELECT FROM visits WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()))
            """
        )
    )
    return bool(row[0])


def restore_positions(conn: Conn) -> bool:
    """Give restored rows and positions the oldest transaction ids, in one transaction. Return whether there were any.

    Holds the lock on log positions, so no rollup, rebuild or purge of visits runs at the same time.
    """
    if not has_future_positions(conn):
        return False
    with conn.transaction():
        event_log.lock_positions(conn)
        if not has_future_positions(conn):
            # Another process was faster.
            return False
        _restore_events(conn)
        _restore_visits(conn)
        # A client that resumes from an earlier position gets `reset`.
        row = exactly_one(conn.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))
        event_log.save_position(conn, "retention_horizon", LogPosition(row[0], 0))
    return True


# Both logs are restored alike: the rows between two positions get one transaction id, so each row stays on its side of
# every position. Rows written after the restore have larger ids, and do not change.


def _restore_events(conn: Conn) -> None:
    consumers = list(CONSUMERS)
    last = exactly_one(
        conn.execute(
            """
            SELECT max(id) FROM (
                SELECT id FROM events WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())
                UNION ALL
                SELECT id FROM log_positions
                WHERE name = ANY (%(consumers)s) AND xid >= pg_snapshot_xmax(pg_current_snapshot())
            ) restored
            """,
            {"consumers": consumers},
        )
    )[0]
    if last is None:
        return
    rows = conn.execute(
        """
        UPDATE events e SET xid = (%(first_xid)s + (
            SELECT count(*) FROM log_positions p
            WHERE p.name = ANY (%(consumers)s) AND (p.xid, p.id) < (e.xid, e.id)
        ))::text::xid8
        WHERE id <= %(last)s
        """,
        {"consumers": consumers, "first_xid": FIRST_XID, "last": last},
    )
    _restore_consumers(conn, consumers, last)
    log.warning("event_log_restored", log="events", rows=rows.rowcount, reason=REASON)


def _restore_visits(conn: Conn) -> None:
    consumers = [VISITS]
    last = exactly_one(
        conn.execute(
            """
            SELECT max(id) FROM (
                SELECT id FROM visits WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())
                UNION ALL
                SELECT id FROM log_positions
                WHERE name = ANY (%(consumers)s) AND xid >= pg_snapshot_xmax(pg_current_snapshot())
            ) restored
            """,
            {"consumers": consumers},
        )
    )[0]
    if last is None:
        return
    rows = conn.execute(
        """
        UPDATE visits v SET xid = (%(first_xid)s + (
            SELECT count(*) FROM log_positions p
            WHERE p.name = ANY (%(consumers)s) AND (p.xid, p.id) < (v.xid, v.id)
        ))::text::xid8
        WHERE id <= %(last)s
        """,
        {"consumers": consumers, "first_xid": FIRST_XID, "last": last},
    )
    _restore_consumers(conn, consumers, last)
    log.warning("event_log_restored", log="visits", rows=rows.rowcount, reason=REASON)


def _restore_consumers(conn: Conn, consumers: list[str], last: int) -> None:
    conn.execute(
        """
        UPDATE log_positions p SET id = %(last)s, xid = (%(first_xid)s + (
            SELECT count(*) FROM log_positions earlier
            WHERE earlier.name = ANY (%(consumers)s) AND (earlier.xid, earlier.id) < (p.xid, p.id)
        ))::text::xid8
        WHERE name = ANY (%(consumers)s)
        """,
        {"consumers": consumers, "first_xid": FIRST_XID, "last": last},
    )
