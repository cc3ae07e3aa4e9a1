"""SQL of visits: the target of a code URL, the stock of a code, and the visits themselves."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from shared.codes.rules import CODE_PATTERN
from shared.errors import CodeDeleted
from shared.infra import event_log
from shared.infra.db import Conn, exactly_one
from shared.visits.rules import LinkTarget


@dataclass(frozen=True)
class Visit:
    """One visit, of a person's device or a bot. `used_stock` is true if it was counted against `max_scans` already."""

    qr_code_id: UUID
    at: datetime
    device: str
    used_stock: bool = False


def find_target(conn: Conn, code: str) -> LinkTarget | None:
    """Return the code that this text leads to. None if no code ever had it.

    Raises CodeDeleted if the code or the alias was deleted.
    """
    if not re.fullmatch(CODE_PATTERN, code):
        return None
    row = conn.execute(
        """
        SELECT q.id, q.code, q.description, q.scan_type, q.target_url,
               q.active AND coalesce(o.closed_at > now(), true), q.starts_at, q.expires_at, q.max_scans, q.use_count,
               now(), q.rotation_seconds, q.rotation_secret
        FROM code_texts t
        LEFT JOIN qr_codes q ON q.id = t.qr_code_id AND q.deleted_at IS NULL
        LEFT JOIN organizations o ON o.id = q.org_id
        WHERE t.code = %(code)s
        """,
        {"code": code},
    ).fetchone()
    if row is None:
        return None
    if row[0] is None:
        raise CodeDeleted
    return LinkTarget(*row)


@dataclass(frozen=True)
class CodePage:
    """What the page of a code shows besides its description."""

    requires_location: bool
    organization: str
    slug: str
    logo_digest: str | None
    has_color: bool


def get_page(conn: Conn, code_id: UUID) -> CodePage:
    """Return what the page of a code shows."""
    with conn.cursor(row_factory=class_row(CodePage)) as cursor:
        return exactly_one(
            cursor.execute(
                """
                SELECT q.requires_location, o.name AS organization, o.slug, o.logo_digest,
                       o.color_light IS NOT NULL AS has_color
                FROM qr_codes q JOIN organizations o ON o.id = q.org_id WHERE q.id = %(id)s
                """,
                {"id": code_id},
            )
        )


def use_stock(conn: Conn, code_id: UUID) -> bool:
    """Count one visit against `max_scans`. Return False if no stock is left. The lock of the row makes it exact."""
    updated = conn.execute(
        """
        UPDATE qr_codes SET use_count = use_count + 1
        WHERE id = %(id)s AND (max_scans IS NULL OR use_count < max_scans)
        """,
        {"id": code_id},
    )
    return updated.rowcount == 1


def add(conn: Conn, visits: Sequence[Visit]) -> str:
    """Store visits, and add those of people without `used_stock` to the use counts.

    Return the id of the transaction, for `is_stored`. The caller owns the transaction.
    """
    # Codes with a stock are locked first, then the others, each by id: the order of all that locks several codes.
    with conn.pipeline():
        added = conn.execute(
            """
            WITH inserted_visits AS (
                INSERT INTO visits (qr_code_id, at, device)
                SELECT * FROM unnest(%(code_ids)b::uuid[], %(times)b::timestamptz[], %(devices)b::text[])
            )
            SELECT pg_current_xact_id()::text
            """,
            {
                "code_ids": [visit.qr_code_id for visit in visits],
                "times": [visit.at for visit in visits],
                "devices": [visit.device for visit in visits],
            },
        )
        conn.execute(
            """
            WITH locked_codes AS (
                SELECT q.id, uses.count
                FROM (SELECT id, count(*) FROM unnest(%(code_ids)b::uuid[]) used (id) GROUP BY id) uses
                JOIN qr_codes q USING (id)
                WHERE q.scan_type IS NULL ORDER BY q.max_scans IS NULL, q.id FOR NO KEY UPDATE OF q
            )
            UPDATE qr_codes q SET use_count = use_count + l.count FROM locked_codes l WHERE q.id = l.id
            """,
            {"code_ids": [visit.qr_code_id for visit in visits if visit.device != "bot" and not visit.used_stock]},
        )
    return str(exactly_one(added)[0])


def is_stored(conn: Conn, xid: str) -> bool:
    """True if the transaction was committed. Raise OperationalError while PostgreSQL is still ending it."""
    try:
        status = exactly_one(conn.execute("SELECT pg_xact_status(%(xid)s::text::xid8)", {"xid": xid}))[0]
    except psycopg.errors.InvalidParameterValue:
        # Another server, restored from an older backup.
        return False
    if status == "in progress":
        raise psycopg.OperationalError("PostgreSQL is still committing the last batch of visits")
    return bool(status == "committed")


def purge(conn: Conn, *, before: date, limit: int) -> int:
    """Delete up to `limit` visits from before this day that are in the rollups. Return how many were deleted.

    The lock excludes a rebuild, which would compute the rollups from the remaining visits.
    """
    # The innermost query reads the oldest visits only: recent ones need not be examined.
    with conn.transaction():
        event_log.lock_positions(conn)
        deleted = conn.execute(
            """
            WITH deleted_visits AS (
                DELETE FROM visits WHERE id IN (
                    SELECT id FROM (
                        SELECT id, at FROM visits WHERE is_rolled_up ORDER BY id
                        LIMIT %(limit)s
                    ) oldest
                    WHERE at < %(before)s::date::timestamp AT TIME ZONE 'UTC'
                )
                RETURNING id
            ), saved_horizon AS (
                INSERT INTO visit_purges SELECT %(before)s WHERE EXISTS (SELECT FROM deleted_visits)
                ON CONFLICT DO NOTHING
            )
            SELECT count(*) FROM deleted_visits
            """,
            {"before": before, "limit": limit},
        )
        return int(exactly_one(deleted)[0])
