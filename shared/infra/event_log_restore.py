"""Lowers the log positions of a restored database below everything that its new cluster writes.

Transaction ids start over in a new cluster, and the restored rows have higher ones. New rows would never be past the
position of a consumer. What a consumer has read stays read, and the rest stays unread.
"""

from shared.infra import event_log
from shared.infra.db import Conn, exactly_one
from shared.infra.event_log import CONSUMERS, VISITS, LogPosition
from shared.infra.logging import get_logger

log = get_logger()

FIRST_XID = 3  # the first transaction id that PostgreSQL ever gives; those of its own setup go into the hundreds
LOGS = (("events", CONSUMERS), ("visits", (VISITS,)))
NEXT_XID = "pg_snapshot_xmax(pg_current_snapshot())"
"""No row that is visible, and was written by this cluster, has this transaction id or a later one."""


def has_future_positions(conn: Conn) -> bool:
    """Whether a mark or a row of a log comes from a cluster that had come further. Looks at the ends of two indexes."""
    row = exactly_one(
        conn.execute(
            f"""
            SELECT EXISTS (SELECT FROM log_positions WHERE xid >= {NEXT_XID} AND name <> 'retention_horizon')
                OR EXISTS (SELECT FROM events WHERE xid >= {NEXT_XID})
                OR EXISTS (SELECT FROM visits WHERE xid >= {NEXT_XID})
            """  # noqa: S608 - a constant
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
            return False  # another process was faster
        for name, readers in LOGS:
            _restore_log(conn, name, readers)
        row = exactly_one(conn.execute(f"SELECT {NEXT_XID}::text::bigint"))
        event_log.write_mark(
            conn, "retention_horizon", LogPosition(row[0], 0)
        )  # a client that resumes from an earlier position gets `reset`
    return True


def _restore_log(conn: Conn, name: str, readers: tuple[str, ...]) -> None:
    """Give the rows between two positions one transaction id, so each row stays on its side of every position.

    Rows written after the restore have later ids, and do not change.
    """
    last = exactly_one(
        conn.execute(
            f"""
            SELECT max(id) FROM (
                SELECT id FROM {name} WHERE xid >= {NEXT_XID}
                UNION ALL SELECT id FROM log_positions WHERE name = ANY(%s) AND xid >= {NEXT_XID}) ahead
            """,  # noqa: S608 - names from the source code
            (list(readers),),
        )
    )[0]
    if last is None:
        return
    given = {"readers": list(readers), "oldest": FIRST_XID, "last": last}
    marks_before = """(%(oldest)s + (
        SELECT count(*) FROM log_positions r WHERE r.name = ANY(%(readers)s) AND (r.xid, r.id) < (o.xid, o.id)
    ))::text::xid8"""
    rows = conn.execute(f"UPDATE {name} o SET xid = {marks_before} WHERE id <= %(last)s", given)  # noqa: S608
    conn.execute(
        f"UPDATE log_positions o SET xid = {marks_before}, id = %(last)s WHERE name = ANY(%(readers)s)",  # noqa: S608
        given,
    )
    log.warning("event_log_restored", log=name, rows=rows.rowcount, reason="restored from another cluster")
