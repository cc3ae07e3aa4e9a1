"""Visits in PostgreSQL: what a code leads to, its stock, and the visits themselves."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from psycopg.rows import class_row

from shared.analytics import folding
from shared.codes.rules import CODE
from shared.db import Conn, one
from shared.visits.rules import Printed


@dataclass(frozen=True)
class Visit:
    """Somebody, or something (`bot`), was led on. `took` says that it was taken off a stock already."""

    qr_code_id: UUID
    at: datetime
    device: str
    took: bool = False


def printed(conn: Conn, code: str) -> Printed | None:
    """The code with this text, as it is right now."""
    if not re.fullmatch(CODE, code):
        return None
    with conn.cursor(row_factory=class_row(Printed)) as cursor:
        return cursor.execute(
            """
            SELECT id, code, description, scan_type, target_url, active, starts_at, expires_at, max_scans, taken, now()
            FROM qr_codes WHERE code = %s AND deleted_at IS NULL
            """,
            (code,),
        ).fetchone()


def take(conn: Conn, code_id: UUID) -> bool:
    """Take one off the stock of a code that only redirects; False when none is left. The row's lock makes it exact."""
    taken = conn.execute(
        "UPDATE qr_codes SET taken = taken + 1 WHERE id = %s AND (max_scans IS NULL OR taken < max_scans)", (code_id,)
    )
    return taken.rowcount == 1


def add(conn: Conn, visits: Sequence[Visit]) -> None:
    """Store visits, and count those of people that no stock was asked for; all of it or nothing."""
    with conn.transaction(), conn.pipeline():
        conn.execute(
            """
            INSERT INTO visits (qr_code_id, at, device)
            SELECT * FROM unnest(%b::uuid[], %b::timestamptz[], %b::text[])
            """,
            ([v.qr_code_id for v in visits], [v.at for v in visits], [v.device for v in visits]),
        )
        conn.execute(
            """
            WITH led AS (
                SELECT q.id, v.count
                FROM (SELECT id, count(*) FROM unnest(%b::uuid[]) u (id) GROUP BY id) v JOIN qr_codes q USING (id)
                WHERE q.scan_type IS NULL ORDER BY q.id FOR NO KEY UPDATE OF q
            )
            UPDATE qr_codes q SET taken = taken + led.count FROM led WHERE q.id = led.id
            """,
            ([v.qr_code_id for v in visits if v.device != "bot" and not v.took],),
        )


def forget(conn: Conn, *, before: date, limit: int) -> int:
    """Delete up to `limit` visits of days before this one that are in the rollups; returns how many. What is rolled up
    stays, and is never made anew from what is left: nobody rebuilds meanwhile."""
    with conn.transaction():
        folding.lock(conn)
        counted = conn.execute(
            """
            WITH gone AS (
                DELETE FROM visits WHERE (xid, id) IN (
                    SELECT xid, id FROM (  -- the oldest first, and no further: what is young is not looked through
                        SELECT xid, id, at FROM visits
                        WHERE (xid, id) <= (SELECT xid, id FROM event_readers WHERE name = 'visits')
                        ORDER BY xid, id
                        LIMIT %(limit)s) oldest
                    WHERE at < %(before)s::date::timestamp AT TIME ZONE 'UTC'
                )
                RETURNING xid
            ), remembered AS (
                INSERT INTO visits_forgotten SELECT %(before)s WHERE EXISTS (SELECT FROM gone) ON CONFLICT DO NOTHING
            )
            SELECT count(*) FROM gone
            """,
            {"before": before, "limit": limit},
        )
        return int(one(counted)[0])
