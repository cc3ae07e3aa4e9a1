"""How many scans of an organization's codes there were in the last hour, in PostgreSQL."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn
from shared.reviews.scan_list import VERDICTS

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class RecentCount:
    """Settled scans of ten seconds, from `at`."""

    at: datetime
    count: int
    success: int


def count_recent(conn: Conn, org_id: UUID, now: datetime) -> list[RecentCount]:
    """Return the counts of the last hour by ten seconds, the oldest first. Times without a scan are left out."""
    settled = [(status, reason or "") for status, reason in VERDICTS if status != "pending"]
    # Every verdict is one range of the index `player_scans_verdicts`, which has all columns.
    with conn.cursor(row_factory=class_row(RecentCount)) as cursor:
        return cursor.execute(
            """
            SELECT date_bin('10 seconds', s.scan_time, 'epoch'::timestamptz) AS at, count(*)::integer AS count,
                   (count(*) FILTER (WHERE verdicts.status = 'success'))::integer AS success
            FROM unnest(%(statuses)s::text[], %(reasons)s::text[]) AS verdicts (status, reason)
            CROSS JOIN LATERAL (
                SELECT s.scan_time FROM player_scans s
                WHERE s.org_id = %(org_id)s AND s.status = verdicts.status AND coalesce(s.reason, '') = verdicts.reason
                  AND s.scan_time > %(since)s AND s.scan_time <= %(until)s
            ) s
            GROUP BY 1 ORDER BY 1
            """,
            {
                "org_id": org_id,
                "statuses": [status for status, _ in settled],
                "reasons": [reason for _, reason in settled],
                "since": now - HOUR,
                "until": now,
            },
        ).fetchall()
