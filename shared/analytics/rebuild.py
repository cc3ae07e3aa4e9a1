"""Rebuilds rollups from scans and visits, a slice of days at a time, while new events continue to be rolled up.

A slice gets the counts at the log position of the rollups. Later verdicts and corrections are still to be rolled up, so
they are subtracted from the counts of the current rows. Only the rollup waits for a slice.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from psycopg.rows import scalar_row

from shared.analytics.rollup_queries import ADD_SCANS, ADD_VISITS, END_DAY, SCAN_DELTAS, VISIT_DELTAS
from shared.infra import event_log
from shared.infra.db import Conn, exactly_one
from shared.infra.event_log import ROLLUPS


@dataclass(frozen=True)
class RebuildTarget:
    """The subjects whose rollups are rebuilt: an organization with all its codes, or one code."""

    org_id: UUID
    code_ids: list[UUID]
    with_org: bool

    @property
    def ids(self) -> list[UUID]:
        return [*self.code_ids, self.org_id] if self.with_org else self.code_ids


def organizations(conn: Conn) -> list[UUID]:
    """Return the ids of all organizations."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute("SELECT id FROM organizations ORDER BY id").fetchall()


def of_organization(conn: Conn, org_id: UUID) -> RebuildTarget:
    """Return the organization with all its codes. Deleted codes are included, because their scans still count."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        codes = cursor.execute(
            "SELECT id FROM qr_codes WHERE org_id = %(org_id)s ORDER BY id", {"org_id": org_id}
        ).fetchall()
    return RebuildTarget(org_id, codes, with_org=True)


def with_new_codes(conn: Conn, subjects: RebuildTarget) -> RebuildTarget:
    """Return the target with the codes that were created since. The caller holds the lock on log positions."""
    # The organization's rollups already have the scans of new codes. A slice without these codes would replace them.
    return of_organization(conn, subjects.org_id) if subjects.with_org else subjects


def for_code(conn: Conn, code_id: UUID) -> RebuildTarget | None:
    """Return the target for one code, or None if it does not exist."""
    row = conn.execute("SELECT org_id FROM qr_codes WHERE id = %(id)s", {"id": code_id}).fetchone()
    return RebuildTarget(row[0], [code_id], with_org=False) if row else None


def next_day(conn: Conn, subjects: RebuildTarget, since: date) -> date | None:
    """Return the first UTC day from `since` on that has a scan, a visit or a rollup, or None."""
    day: date | None = exactly_one(
        conn.execute(
            """
            SELECT least(
                (SELECT min(s.at) FROM unnest(%(codes)s::uuid[]) c (id) CROSS JOIN LATERAL (
                    SELECT (scan_time AT TIME ZONE 'UTC')::date FROM player_scans
                    WHERE qr_code_id = c.id AND scan_time >= %(since)s AND scan_time < %(until)s
                    ORDER BY scan_time LIMIT 1) s (at)),
                (SELECT min(v.at) FROM unnest(%(codes)s::uuid[]) c (id) CROSS JOIN LATERAL (
                    SELECT (at AT TIME ZONE 'UTC')::date FROM visits
                    WHERE qr_code_id = c.id AND at >= %(since)s AND at < %(until)s ORDER BY at LIMIT 1) v (at)),
                (SELECT min(day) FROM scan_rollup_daily WHERE subject_id = ANY(%(ids)s) AND day >= %(day)s),
                (SELECT min(day) FROM visit_rollup_daily WHERE subject_id = ANY(%(ids)s) AND day >= %(day)s))
            """,
            _parameters(subjects, since, END_DAY),
        )
    )[0]
    return day


# `unaggregated` has the status that each scan had at the log position: null if it was not settled. The events without a
# position are after it, in the order of their ids.
REBUILD_SCANS = (
    """
    WITH unaggregated AS MATERIALIZED (
        SELECT DISTINCT ON (1) data ->> 'scan_id' AS scan_id, data ->> 'previous_status' AS previous_status
        FROM (
            SELECT position, id, data FROM events
            WHERE position > %(position)s AND org_id = %(org)s AND type = 'scan_result'
            UNION ALL
            SELECT position, id, data FROM events
            WHERE position IS NULL AND org_id = %(org)s AND type = 'scan_result'
        ) later_events
        ORDER BY 1, position, id
    ), facts AS (
        SELECT s.qr_code_id AS code_id, %(org)s::uuid AS org_id, s.player_id, s.scan_time,
               coalesce(s.device, 'other') AS device, s.reason,
               CASE WHEN u.scan_id IS NULL THEN s.status ELSE u.previous_status END AS status,
               NULL AS previous_status
        FROM player_scans s LEFT JOIN unaggregated u ON u.scan_id = s.id::text
        WHERE s.qr_code_id = ANY(%(codes)s) AND s.scan_time >= %(since)s AND s.scan_time < %(until)s
          AND s.status <> 'pending' AND (u.scan_id IS NULL OR u.previous_status IS NOT NULL)
    ), deltas AS MATERIALIZED ("""
    + SCAN_DELTAS
    + " WHERE subject_id = ANY(%(ids)s)), "
    + ADD_SCANS
)
REBUILD_VISITS = (
    """
    WITH new_visits AS (
        SELECT qr_code_id, at, device FROM visits
        WHERE qr_code_id = ANY(%(codes)s) AND at >= %(since)s AND at < %(until)s
          AND is_rolled_up
    ), deltas AS MATERIALIZED ("""
    + VISIT_DELTAS
    + " WHERE subject_id = ANY(%(ids)s)), "
    + ADD_VISITS
)


def rebuild_scans(conn: Conn, subjects: RebuildTarget, first: date, end: date) -> int:
    """Replace the scan rollups of the days from `first` until before `end`. Return the number of scans.

    The caller holds the lock, and commits.
    """
    params = _parameters(subjects, first, end)
    position = event_log.load_position(conn, ROLLUPS)
    _delete_scan_rollups(conn, params)
    conn.execute(REBUILD_SCANS, params | {"position": position})
    row = exactly_one(
        conn.execute(
            """
            SELECT coalesce(sum(count), 0) FROM scan_rollup_daily
            WHERE subject_id = ANY(%(codes)s) AND day >= %(day)s AND day < %(end)s
            """,
            params,
        )
    )
    return int(row[0])


def rebuild_visits(conn: Conn, subjects: RebuildTarget, first: date, end: date) -> None:
    """Do the same for visits. Skip the days whose visits were purged: only their rollups are left."""
    purged_before: date | None = exactly_one(conn.execute("SELECT max(purged_before) FROM visit_purges"))[0]
    first = max(first, purged_before) if purged_before else first
    if first >= end:
        return
    params = _parameters(subjects, first, end)
    _delete_visit_rollups(conn, params)
    conn.execute(REBUILD_VISITS, params)


def delete_stale_players(conn: Conn, subjects: RebuildTarget) -> None:
    """Delete all-time players without a day. The caller holds the lock, and has replaced every slice."""
    conn.execute(
        """
        DELETE FROM scan_all_time_players e USING (
            SELECT subject_id, player_id FROM scan_all_time_players WHERE subject_id = ANY(%(ids)s)
            EXCEPT
            SELECT subject_id, player_id FROM scan_daily_players WHERE subject_id = ANY(%(ids)s)
        ) stale_players
        WHERE e.subject_id = stale_players.subject_id AND e.player_id = stale_players.player_id
        """,
        {"ids": subjects.ids},
    )


def _delete_scan_rollups(conn: Conn, params: dict[str, Any]) -> None:
    # A day is a whole number of buckets, so a slice has the same buckets as days.
    conn.execute(
        """
        WITH deleted_buckets AS (
            DELETE FROM scan_rollup_15m WHERE subject_id = ANY(%(ids)s) AND at >= %(since)s AND at < %(until)s
        ), deleted_days AS (
            DELETE FROM scan_rollup_daily WHERE subject_id = ANY(%(ids)s) AND day >= %(day)s AND day < %(end)s
        ), deleted_reasons AS (
            DELETE FROM scan_rollup_daily_reasons WHERE subject_id = ANY(%(ids)s) AND day >= %(day)s AND day < %(end)s
        )
        DELETE FROM scan_daily_players WHERE subject_id = ANY(%(ids)s) AND day >= %(day)s AND day < %(end)s
        """,
        params,
    )


def _delete_visit_rollups(conn: Conn, params: dict[str, Any]) -> None:
    conn.execute(
        """
        WITH deleted_buckets AS (
            DELETE FROM visit_rollup_15m WHERE subject_id = ANY(%(ids)s) AND at >= %(since)s AND at < %(until)s
        )
        DELETE FROM visit_rollup_daily WHERE subject_id = ANY(%(ids)s) AND day >= %(day)s AND day < %(end)s
        """,
        params,
    )


def _parameters(subjects: RebuildTarget, first: date, end: date) -> dict[str, Any]:
    return {
        "org": subjects.org_id,
        "codes": subjects.code_ids,
        "ids": subjects.ids,
        "day": first,
        "end": end,
        "since": datetime.combine(first, time.min, UTC),
        "until": datetime.combine(end, time.min, UTC),
    }
