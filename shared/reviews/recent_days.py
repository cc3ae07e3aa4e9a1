"""Players and failures of today and yesterday in any time zone, from the scans themselves, in PostgreSQL.

Rollups count players by days in UTC, and reasons by day only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from shared.infra.db import Conn, exactly_one
from shared.reviews.scan_list import VERDICTS

MAX_READ = 10_000
"""Scans of each verdict that are read, newest first. More make the counts lower bounds."""
MAX_FAILURES = 5
SETTLED = [(status, reason or "") for status, reason in VERDICTS if status != "pending"]


@dataclass(frozen=True)
class RecentDays:
    """Players with settled scans and held scans, of today and of the day before. `is_complete` unless more exist."""

    players: int
    players_before: int
    held: int
    held_before: int
    failures: Sequence[dict[str, Any]]
    """The most frequent failures of today: `qr_id`, `code`, `description`, `reason`, `count`."""
    is_complete: bool


def recent_days(conn: Conn, org_id: UUID, *, yesterday: datetime, today: datetime) -> RecentDays:
    """Return the counts since the start of yesterday. `today` is when the current day started."""
    params = {
        "org_id": org_id,
        "statuses": [status for status, _ in SETTLED],
        "reasons": [reason for _, reason in SETTLED],
        "yesterday": yesterday,
        "today": today,
        "limit": MAX_READ,
        "failures": MAX_FAILURES,
    }
    with conn.cursor(row_factory=class_row(RecentDays)) as cursor:
        # Every verdict is one range of the index `player_scans_verdicts`, newest first.
        return exactly_one(
            cursor.execute(
                """
                WITH recent AS MATERIALIZED (
                    SELECT s.player_id, s.qr_code_id, verdicts.status, verdicts.reason,
                           s.scan_time >= %(today)s AS is_today
                    FROM unnest(%(statuses)s::text[], %(reasons)s::text[]) AS verdicts (status, reason)
                    CROSS JOIN LATERAL (
                        SELECT s.player_id, s.qr_code_id, s.scan_time FROM player_scans s
                        WHERE s.org_id = %(org_id)s AND s.status = verdicts.status
                          AND coalesce(s.reason, '') = verdicts.reason AND s.scan_time >= %(yesterday)s
                        ORDER BY s.scan_time DESC, s.id DESC LIMIT %(limit)s
                    ) s
                ), failures AS (
                    SELECT qr_code_id AS qr_id, reason, count(*) AS count FROM recent
                    WHERE is_today AND status = 'failure'
                    GROUP BY qr_code_id, reason ORDER BY count DESC, qr_code_id, reason LIMIT %(failures)s
                )
                SELECT count(DISTINCT player_id) FILTER (WHERE is_today) AS players,
                       count(DISTINCT player_id) FILTER (WHERE NOT is_today) AS players_before,
                       count(*) FILTER (WHERE is_today AND status = 'held') AS held,
                       count(*) FILTER (WHERE NOT is_today AND status = 'held') AS held_before,
                       (SELECT coalesce(jsonb_agg(to_jsonb(f) || jsonb_build_object(
                                   'code', q.code, 'description', q.description)
                               ORDER BY f.count DESC, q.code, f.reason), '[]')
                        FROM failures f JOIN qr_codes q ON q.id = f.qr_id) AS failures,
                       NOT EXISTS (
                           SELECT FROM recent GROUP BY status, reason HAVING count(*) >= %(limit)s
                       ) AS is_complete
                FROM recent
                """,
                params,
                prepare=False,
            )
        )
