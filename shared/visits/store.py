"""Visits in PostgreSQL: what a code leads to, its stock, and the visits themselves."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from shared.codes.rules import CODE_PATTERN
from shared.infra import event_log
from shared.infra.db import Conn, exactly_one
from shared.visits.rules import LinkTarget


@dataclass(frozen=True)
class Visit:
    """Somebody, or something (`bot`), was led on. `took` says that it was taken off a stock already."""

    qr_code_id: UUID
    at: datetime
    device: str
    used_stock: bool = False


def find_target(conn: Conn, code: str) -> LinkTarget | None:
    """The code with this text, as it is right now."""
    if not re.fullmatch(CODE_PATTERN, code):
        return None
    with conn.cursor(row_factory=class_row(LinkTarget)) as cursor:
        return cursor.execute(
            """
            SELECT id, code, description, scan_type, target_url, active, starts_at, expires_at, max_scans, use_count,
                   now()
            FROM qr_codes WHERE code = %s AND deleted_at IS NULL
            """,
            (code,),
        ).fetchone()


def use_stock(conn: Conn, code_id: UUID) -> bool:
    """Take one off the stock of a code that only redirects; False when none is left. The row's lock makes it exact."""
    taken = conn.execute(
        "UPDATE qr_codes SET use_count = use_count + 1 WHERE id = %s AND (max_scans IS NULL OR use_count < max_scans)",
        (code_id,),
    )
    return taken.rowcount == 1


def add(conn: Conn, visits: Sequence[Visit]) -> str:
    """Store visits, and count those of people that no stock was asked for. The caller owns the transaction: returns its
    id, by which `is_stored` can tell what became of it."""
    with conn.pipeline():
        added = conn.execute(
            """
            WITH added AS (
                INSERT INTO visits (qr_code_id, at, device)
                SELECT * FROM unnest(%b::uuid[], %b::timestamptz[], %b::text[])
            )
            SELECT pg_current_xact_id()::text
            """,
            ([v.qr_code_id for v in visits], [v.at for v in visits], [v.device for v in visits]),
        )
        conn.execute(
            """
            WITH redirected AS (
                SELECT q.id, v.count
                FROM (SELECT id, count(*) FROM unnest(%b::uuid[]) u (id) GROUP BY id) v JOIN qr_codes q USING (id)
                WHERE q.scan_type IS NULL ORDER BY q.id FOR NO KEY UPDATE OF q
            )
            UPDATE qr_codes q SET use_count = use_count + redirected.count FROM redirected WHERE q.id = redirected.id
            """,
            ([v.qr_code_id for v in visits if v.device != "bot" and not v.used_stock],),
        )
    return str(exactly_one(added)[0])


def is_stored(conn: Conn, xid: str) -> bool:
    """Whether a transaction was committed whose connection broke at the end. Raises OperationalError while PostgreSQL
    itself has yet to find out."""
    try:
        status = exactly_one(conn.execute("SELECT pg_xact_status(%s::text::xid8)", (xid,)))[0]
    except psycopg.errors.InvalidParameterValue:
        return False  # another server, which never came that far
    if status == "in progress":
        raise psycopg.OperationalError("what became of the last round is not known yet")
    return bool(status == "committed")


def forget(conn: Conn, *, before: date, limit: int) -> int:
    """Delete up to `limit` visits of days before this one that are in the rollups; returns how many. What is rolled up
    stays, and is never made anew from what is left: nobody rebuilds meanwhile."""
    with conn.transaction():
        event_log.lock_positions(conn)
        counted = conn.execute(
            """
            WITH deleted AS (
                DELETE FROM visits WHERE (xid, id) IN (
                    SELECT xid, id FROM (  -- the oldest first, and no further: what is young is not looked through
                        SELECT xid, id, at FROM visits
                        WHERE (xid, id) <= (SELECT xid, id FROM log_positions WHERE name = 'visits')
                        ORDER BY xid, id
                        LIMIT %(limit)s) oldest
                    WHERE at < %(before)s::date::timestamp AT TIME ZONE 'UTC'
                )
                RETURNING xid
            ), saved_horizon AS (
                INSERT INTO visit_purges SELECT %(before)s WHERE EXISTS (SELECT FROM deleted) ON CONFLICT DO NOTHING
            )
            SELECT count(*) FROM deleted
            """,
            {"before": before, "limit": limit},
        )
        return int(exactly_one(counted)[0])
