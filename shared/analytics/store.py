"""Statistics in PostgreSQL, and the tag that cached ones are named by."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from shared import db
from shared.db import Conn


@dataclass(frozen=True)
class Totals:
    """An organization's codes, and the scans of every code it ever had, by their status, as of one moment."""

    codes: int
    total: int
    success: int
    failure: int
    pending: int
    held: int
    as_of: datetime


def tag(conn: Conn, org_id: UUID) -> str:
    """What statistics computed from now on are named by. Read it before what they count."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: UUID | None = cursor.execute("SELECT tag FROM statistics_tags WHERE org_id = %s", (org_id,)).fetchone()
    return str(found)


def retag(conn: Conn, org_id: UUID) -> None:
    """Let no cached statistics of the organization outlive this transaction.

    The last statement of the transaction that changes what they count: until it ends, others who change it wait here.
    """
    conn.execute(
        """
        INSERT INTO statistics_tags (org_id) VALUES (%s)
        ON CONFLICT (org_id) DO UPDATE SET tag = gen_random_uuid()
        """,
        (org_id,),
    )


def totals(conn: Conn, org_id: UUID) -> Totals:
    """Counts all of the organization's scans: as slow as they are many, so cache it."""
    with conn.cursor(row_factory=class_row(Totals)) as cursor:
        return db.one(
            cursor.execute(
                """
                SELECT (SELECT count(*) FROM qr_codes WHERE org_id = %(org_id)s AND deleted_at IS NULL) AS codes,
                       count(*) AS total,
                       count(*) FILTER (WHERE s.status = 'success') AS success,
                       count(*) FILTER (WHERE s.status = 'failure') AS failure,
                       count(*) FILTER (WHERE s.status = 'pending') AS pending,
                       count(*) FILTER (WHERE s.status = 'held') AS held,
                       now() AS as_of
                FROM player_scans s JOIN qr_codes q ON q.id = s.qr_code_id
                WHERE q.org_id = %(org_id)s
                """,
                {"org_id": org_id},
            )
        )
