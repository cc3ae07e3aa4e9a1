"""Retention of positions: where a player was is personal data, and is not stored for ever.

Counts, verdicts, distances and times remain. A held scan keeps its position until it is reviewed.
"""

from datetime import timedelta

from shared.infra.db import Conn

RETENTION_OF_UNKNOWN_CODES = timedelta(days=90)
"""Scans of unknown codes belong to no organization. They have the default of organizations."""


def clear(conn: Conn, *, needed: timedelta, max_age: timedelta, limit: int) -> int:
    """Clear the positions of up to `limit` settled scans whose retention has ended, and return how many were cleared.

    A position that judging needs is stored for longer: for `needed` after its scan, because of travel, and as long as
    an organization compares coordinates with those of scans that arrive up to `max_age` late.
    """
    # Each organization is one range of the index `player_scans_positions`, which has no entry of a cleared scan. The
    # array makes the update find its rows by id, whatever number is expected. Locked scans are skipped: their
    # transactions are short, and the next run finds them.
    return conn.execute(
        """
        WITH retentions AS (
            SELECT id AS org_id, now() - greatest(
                make_interval(days => position_retention_days), %(needed)s,
                %(max_age)s + make_interval(secs => (fair_play #>> '{identical_coordinates,window_seconds}')::float)
            ) AS before
            FROM organizations WHERE position_retention_days IS NOT NULL
        ), due_scans AS MATERIALIZED (
            SELECT s.id FROM retentions r CROSS JOIN LATERAL (
                SELECT s.id FROM player_scans s
                WHERE s.org_id = r.org_id AND s.scan_time < r.before AND s.status IN ('success', 'failure', 'annulled')
                  AND (s.latitude IS NOT NULL OR s.accuracy IS NOT NULL)
                ORDER BY s.scan_time LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
            ) s
            UNION ALL
            SELECT u.id FROM (
                SELECT s.id FROM player_scans s
                WHERE s.org_id IS NULL AND s.scan_time < now() - greatest(%(of_unknown_codes)s, %(needed)s)
                  AND s.status IN ('success', 'failure', 'annulled')
                  AND (s.latitude IS NOT NULL OR s.accuracy IS NOT NULL)
                ORDER BY s.scan_time LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
            ) u
            LIMIT %(limit)s
        )
        UPDATE player_scans s
        SET latitude = NULL, longitude = NULL, accuracy = NULL, compare_coordinates = NULL,
            position_cleared_at = CASE WHEN s.latitude IS NOT NULL THEN now() END
        WHERE s.id = ANY (ARRAY(SELECT id FROM due_scans))
        """,
        {
            "needed": needed,
            "max_age": max_age,
            "of_unknown_codes": RETENTION_OF_UNKNOWN_CODES,
            "limit": limit,
        },
    ).rowcount
