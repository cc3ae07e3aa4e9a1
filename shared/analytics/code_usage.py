"""How often each code of a list was scanned, in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from shared.analytics.rollup_queries import SCAN_DELTAS
from shared.analytics.unaggregated import MAX_UNAGGREGATED, UNAGGREGATED_FACTS
from shared.infra.db import Conn


@dataclass(frozen=True)
class CodeUsage:
    """Settled scans of a code, the time of the last one, and the uses that count against `max_scans`."""

    id: UUID
    scans: int
    last_scan_at: datetime | None
    use_count: int


SELECT_USAGE = (
    UNAGGREGATED_FACTS
    + ", deltas AS MATERIALIZED ("
    + SCAN_DELTAS
    + """ WHERE subject_id = ANY (%(qr_ids)s)), counts AS (
        SELECT subject_id, sum(count)::bigint AS scans, max(last_at) AS last_scan_at FROM (
            SELECT subject_id, count, last_at FROM scan_rollup_daily WHERE subject_id = ANY (%(qr_ids)s)
            UNION ALL
            SELECT subject_id, count, dated FROM deltas
        ) counted GROUP BY subject_id
    )
    SELECT q.id, coalesce(c.scans, 0) AS scans, c.last_scan_at, q.use_count
    FROM qr_codes q LEFT JOIN counts c ON c.subject_id = q.id
    WHERE q.org_id = %(org)s AND q.id = ANY (%(qr_ids)s)
    """
)


def usage_by_code(conn: Conn, org_id: UUID, qr_ids: Sequence[UUID]) -> dict[UUID, CodeUsage]:
    """Return the usage of these codes of the organization, by id."""
    with conn.cursor(row_factory=class_row(CodeUsage)) as cursor:
        usages = cursor.execute(
            SELECT_USAGE, {"org": org_id, "qr_ids": list(qr_ids), "limit": MAX_UNAGGREGATED}
        ).fetchall()
    return {usage.id: usage for usage in usages}
